"""The commands of the command line, one file for each thing a person wants to do."""
