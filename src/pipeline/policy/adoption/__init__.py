"""What a repository that begins with this pipeline gets, from what can be seen in it."""
