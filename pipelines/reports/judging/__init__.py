"""What people look at before they trust a verdict: odds, waivers, the comparison case by case, replays."""
