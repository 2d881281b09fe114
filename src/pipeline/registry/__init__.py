"""What lies in the registry: an OCI distribution client, evidence and disks beside the images, the ledger of moves.

Reading, comparing and recording happen here. Promotion does not: a channel is written by skopeo alone.
"""
