"""Checks our notes and proofs with metamorphic-log, which others wrote.

check.py VKEY_FILE PROOF_FILE OLDER NEWER CONSISTENCY: the proof of one entry against its own
checkpoint, and that the log at NEWER begins with the one at OLDER.
"""

import base64
import hashlib
import sys

import metamorphic_log as log


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


vkey, proof, older, newer, consistency = map(read, sys.argv[1:])
vkeys = [vkey.strip()]

head, note = proof.split("\n\n", 1)
first, extra, index, *path = head.split("\n")
assert first == "c2sp.org/tlog-proof@v1"
entry = base64.b64decode(extra.removeprefix("extra "))
leaf = hashlib.sha256(b"\0" + entry).digest()
index = int(index.removeprefix("index "))
path = [base64.b64decode(line) for line in path]
log.checkpoint_verify_inclusion(note, vkeys, index, leaf, path)
try:
    log.checkpoint_verify_inclusion(note, vkeys, index, hashlib.sha256(entry).digest(), path)
except log.VerifyError:
    pass
else:
    sys.exit("another leaf was proved as well")

hashes = [base64.b64decode(line) for line in consistency.split()]
log.checkpoint_verify_consistency(older, newer, vkeys, hashes)
print(log.checkpoint_verify(newer, vkeys).size)
