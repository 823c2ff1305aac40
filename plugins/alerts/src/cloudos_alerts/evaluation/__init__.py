"""The evaluation of rules: measured series, state changes and the alerts that they write."""
