"""The stages of an advice, in their order: each finds some settings, by an experiment that can be run again by hand."""
