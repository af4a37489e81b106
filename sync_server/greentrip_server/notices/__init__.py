"""What phones are told when they ask: decisions about their trips that no answer to a batch could hold."""
