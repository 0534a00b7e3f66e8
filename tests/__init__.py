"""The tests, by what they need: unit (nothing), flow and web (SQLite), postgres, contract, browser, faults."""
