"""Who a person is: the only place that links a phone number's hash to an account."""
