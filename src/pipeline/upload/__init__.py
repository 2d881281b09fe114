"""The tested disk to where openQA and users download it: create-only, and read back as they would."""
