-- The ledger's part of a batch, where the keyring is in a database of its own. No row comes back where
-- another node was first: then nothing was written. Where one does, the head is this node's until
-- the transaction ends.
WITH h AS (
    UPDATE head SET size = $2, frontier = $3, recorded_at = $4, indexed = greatest(indexed, $5)
    WHERE id = 1 AND size = $1 RETURNING 1
), e AS (
    INSERT INTO entry SELECT u.* FROM h, unnest($6::int8[], $7::bytea[], $8::bytea[]) u
), s AS (
    INSERT INTO seal SELECT u.* FROM h, unnest($9::int8[], $10::bytea[]) u
)
SELECT 1 FROM h
