"""What channels beside mail are told."""
