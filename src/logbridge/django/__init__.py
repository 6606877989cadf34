"""The optional Django app: the field's views over LogServiceClient. Comes with logbridge[django]."""
