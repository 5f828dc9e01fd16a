#!/bin/sh
# Makes the namespace of finobs, once the server is well. Histories are kept for 30 days
# after their end: what has to stay is in the ledger.
set -eu
for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
	temporal operator cluster health && break
	[ "$try" -lt 12 ] || exit 1
	sleep 5
done
temporal operator namespace describe -n default ||
	temporal operator namespace create --retention 720h -n default
