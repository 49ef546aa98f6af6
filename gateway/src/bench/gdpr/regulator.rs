//! What a regulator asks, with the proofs checked where they arrive: nothing is taken on the
//! server's word but the key that signs.

use eventstore::proof::checkpoint::Checkpoint;
use eventstore::proof::note::Verifier;
use eventstore::proof::tile::{Tile, WIDTH, hashes};
use eventstore::tree::{Frontier, Hash};
use serde_json::Value;

use super::client::{Answered, Client, NOBODY};
use super::failed;
use super::judge::{Verdict, must, text};
use crate::cli::CliError;
use crate::receipt;

/// How many entries of the log are asked for at once.
const ENTRIES: u64 = 100;

/// A log as far as its signed checkpoint was checked: the roots of all its tiles.
#[derive(Debug)]
pub(super) struct Verified {
    pub verifier: Verifier,
    pub size: u64,
    tiles: Vec<Hash>,
}

impl Verified {
    /// Whether the hashes are those of a whole tile of the log.
    fn has(&self, tile: u64, leaves: &[Hash]) -> bool {
        let known = usize::try_from(tile).ok().and_then(|tile| self.tiles.get(tile));
        known == Some(&root(leaves))
    }
}

fn root(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier.root()
}

impl Client {
    /// Fetches the newest checkpoint and the tree's upper part, and checks that the one signs the
    /// other.
    pub(super) async fn verify_log(&mut self) -> Result<(), CliError> {
        let auditor = self.side.keys.auditor.clone();
        let vkey = self.wire.get(&auditor, "/v1/log/vkey").await?;
        let verifier: Verifier = vkey.text().trim().parse().map_err(failed)?;
        let note = self.wire.get(&auditor, "/v1/log/checkpoint").await?;
        let checkpoint = Checkpoint::open(note.text(), &verifier).map_err(failed)?;
        let size = checkpoint.size;
        let mut tiles = Vec::new();
        let whole = hashes(size, 1);
        for index in 0..whole.div_ceil(WIDTH) {
            let width = WIDTH.min(whole - index * WIDTH);
            tiles.extend(self.tile(Tile { level: 1, index, width }).await?);
        }
        let mut groups = tiles.clone();
        if !size.is_multiple_of(WIDTH) {
            let last = Tile { level: 0, index: whole, width: size % WIDTH };
            groups.push(root(&self.tile(last).await?));
        }
        if root(&groups) != checkpoint.root {
            return Err(failed("the log's tiles do not lead to its signed root"));
        }
        self.verified = Some(Verified { verifier, size, tiles });
        Ok(())
    }

    async fn tile(&mut self, tile: Tile) -> Result<Vec<Hash>, CliError> {
        let auditor = self.side.keys.auditor.clone();
        let reply = self.wire.get(&auditor, &format!("/v1/log/{}", tile.path())).await?;
        let (hashes, []) = reply.bytes.as_chunks::<32>() else {
            return Err(failed("a tile is no row of hashes"));
        };
        Ok(hashes.to_vec())
    }

    /// Reads a stretch of the log, and the proof that it stands there.
    pub(super) async fn system_logs(&mut self) -> Answered {
        let size = self.log_size();
        let tile = self.dice.roll(size / WIDTH);
        let first = tile * WIDTH + self.dice.roll(WIDTH - ENTRIES);
        let after = first.checked_sub(1).map(|after| format!("after={after}&"));
        let after = after.unwrap_or_default();
        let path = format!("/v1/audit/events?{after}limit={ENTRIES}");
        let auditor = self.side.keys.auditor.clone();
        let reply = self.wire.get(&auditor, &path).await?;
        let proof = match self.verified {
            Some(_) => Some(self.tile(Tile { level: 0, index: tile, width: WIDTH }).await?),
            None => None,
        };
        Ok(reply.json(200).and_then(|value| {
            let rows = value.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
            let position = |row: &Value| row.get("position").and_then(Value::as_u64);
            let in_order = rows.iter().map(position).eq((first..first + ENTRIES).map(Some));
            must(in_order, || format!("entries are missing behind {first}"))?;
            match (&self.verified, proof) {
                (Some(verified), Some(leaves)) => {
                    must(verified.has(tile, &leaves), || "a tile is not the log's".to_owned())?;
                    leads(&rows, &leaves, first % WIDTH)
                }
                (Some(_) | None, _) => Ok(()),
            }
        }))
    }

    fn log_size(&self) -> u64 {
        match &self.verified {
            Some(verified) => verified.size,
            // There is one entry at least for each record.
            None => self.side.model().scale.records,
        }
    }

    /// Checks the receipt of an erasure, and that nothing of whom it was about is shown.
    pub(super) async fn verify_deletion(&mut self) -> Answered {
        let (person, record, request, since) = {
            let model = self.side.model();
            let many = model.erased.len() as u64;
            let at = usize::try_from(self.dice.roll(many)).ok();
            let person = at.and_then(|at| model.erased.get(at));
            let Some(person) = person.and_then(|at| model.persons.get(*at)) else { return NOBODY };
            let Some(record) = person.records.first().copied() else { return NOBODY };
            (person.id.clone(), record, person.request.clone(), model.now())
        };
        let admin = self.side.keys.admin.clone();
        let path = format!("/v1/privacy-requests/{request}/receipt");
        let reply = self.wire.get(&admin, &path).await?;
        let receipt = reply.json(200).and_then(|value| self.holds(&value, &person));
        let staff = self.side.keys.staff.clone();
        let reply =
            self.wire.get(&staff, &format!("/v1/bookings/{}", self.record_id(record))).await?;
        let expected = self.side.model().expected(record, since);
        let gone = reply.json(200).and_then(|value| match expected {
            Some(expected) => super::judge::booking(&value, &expected),
            None => Err("no such record".to_owned()),
        });
        Ok(receipt.and(gone))
    }

    /// Whether a receipt says of somebody that they are erased, and proves it.
    fn holds(&self, file: &Value, person: &str) -> Verdict {
        let Some(verified) = &self.verified else {
            return must(text(file, "/client") == person, || format!("of another: {file}"));
        };
        let checked = receipt::check(&file.to_string(), Some(&verified.verifier));
        let (statement, _) = checked.map_err(|error| error.to_string())?;
        must(statement.client == person, || format!("of another: {file}"))
    }
}

/// Whether each entry's leaf is the one that the tree has in its place.
fn leads(rows: &[Value], leaves: &[Hash], first: u64) -> Verdict {
    let first = usize::try_from(first).unwrap_or(0);
    let same =
        |(row, leaf): (&Value, &Hash)| text(row, "/leaf") == domain::ids::Hash(*leaf).to_string();
    let all = rows.iter().zip(leaves.iter().skip(first)).all(same);
    must(all, || format!("an entry behind {first} is not in the tree"))
}
