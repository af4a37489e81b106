"""The synchronisation server: takes in trip records, credits reductions, answers with signed results."""
