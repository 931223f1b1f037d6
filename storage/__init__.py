"""The floor: everything at rest. Tables, object keys, bytes, queued work, transcript formats."""
