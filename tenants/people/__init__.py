"""Who belongs to an agency: invitations, roles, and what goes when somebody leaves."""
