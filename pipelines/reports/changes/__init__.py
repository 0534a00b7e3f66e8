"""Reports about change: what served when, what changed, passports."""
