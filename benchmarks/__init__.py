"""What modelroll is compared with, and how: subjects, load, results, tables. `make bench`, docs/performance.md."""
