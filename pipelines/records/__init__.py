"""The lasting records that stages make: dataset, model version, scorecard. Written once, found afterwards."""
