"""An attack of a minute on a bridge and its log service, with good clients beside it, and what came of it."""
