"""The chart's Grafana dashboard: `rows` says what is shown, `board` how."""
