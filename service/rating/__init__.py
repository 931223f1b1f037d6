"""The rating engine: `model` is arithmetic, `ledger` touches rows, `explain` says why."""
