"""The linter of this project's prose: plain English, one sentence a line."""
