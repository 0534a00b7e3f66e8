"""Signing in and one's own account: django-allauth's flows under the product's own rules and looks."""
