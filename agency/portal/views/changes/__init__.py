"""Pages about change itself: freezes, what served when, what changed, passports."""
