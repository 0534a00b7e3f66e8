"""What settings would do: triggers tried on the past, rollbacks of healthy models on the client's traffic."""
