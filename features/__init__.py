"""The feature store: declared features, their online and offline values, and materialisation."""
