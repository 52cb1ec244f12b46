"""The Benchmarks screen: public tests and one's own, before and after tuning."""
