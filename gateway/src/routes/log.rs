//! `/v1/log`: the ledger as a transparency log, for everybody's tools.
//!
//! A tenant is told apart by its key alone, so that the checkpoint too asks for one; any will do.
//! The entries themselves are for administrators and auditors.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use eventstore::proof::bundle;
use eventstore::proof::checkpoint::{Checkpoint, Origin};
use eventstore::proof::note::Signer;
use eventstore::proof::tile::{self, Named, Tile};

use crate::caller::{Caller, MayAudit, MaySeeCheckpoint};
use crate::desk::Desk;
use crate::problem::{Code, Problem};

/// The log's present size and root, signed (C2SP tlog-checkpoint). Where witnesses are asked, the
/// newest that enough of them have signed.
#[utoipa::path(get, path = "/v1/log/checkpoint", tag = "history",
    responses((status = OK, body = String, content_type = "text/plain")))]
pub(super) async fn checkpoint(caller: Caller<MaySeeCheckpoint>) -> Result<Response, Problem> {
    let (app, desk) = (Arc::clone(&caller.app), Arc::clone(caller.desk()));
    let note = tokio::task::spawn_blocking(move || {
        if !app.witnesses.is_empty() {
            return Ok(app.witnesses.published(&desk)?.ok_or(Code::NotWitnessed)?);
        }
        let head = desk.tenant.log().head()?;
        Ok::<_, Problem>(Checkpoint::of(&head).signed(&signer(&desk)?))
    });
    Ok(plain(note.await??))
}

/// The key that checks the log's signatures (C2SP signed-note).
#[utoipa::path(get, path = "/v1/log/vkey", tag = "history",
    responses((status = OK, body = String, content_type = "text/plain")))]
pub(super) async fn verifier_key(caller: Caller<MaySeeCheckpoint>) -> Result<Response, Problem> {
    let desk = Arc::clone(caller.desk());
    let signer = tokio::task::spawn_blocking(move || signer(&desk));
    Ok(plain(format!("{}\n", signer.await??.verifier())))
}

/// A tile of the log's tree, or with `entries/` a bundle of its entries (C2SP tlog-tiles). For
/// administrators and auditors.
#[utoipa::path(get, path = "/v1/log/tile/{*path}", tag = "history",
    params(("path" = String, Path, description = "`<level>/<index>[.p/<width>]` or \
        `entries/<index>[.p/<width>]`", example = "0/000.p/5")),
    responses((status = OK, body = Vec<u8>, content_type = "application/octet-stream")))]
pub(super) async fn tile(
    caller: Caller<MayAudit>,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let named = tile::named(&path).ok_or(Code::NotFound)?;
    let (Named::Hashes(tile) | Named::Bundle(tile)) = named;
    if !is_committed(tile, caller.tenant().log().size()) {
        return Err(Code::NotFound.into());
    }
    let desk = Arc::clone(caller.desk());
    let bytes = tokio::task::spawn_blocking(move || match named {
        Named::Hashes(tile) => Ok::<_, Problem>(desk.tile(tile)?.concat()),
        Named::Bundle(tile) => Ok(bundle::of(desk.tenant.log(), tile)?),
    });
    let binary = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, binary)], bytes.await??).into_response())
}

/// Whether all hashes of a tile stand for entries that are there.
fn is_committed(tile: Tile, size: u64) -> bool {
    let end = tile.index.saturating_mul(tile::WIDTH).saturating_add(tile.width);
    end <= tile::hashes(size, tile.level)
}

fn signer(desk: &Desk) -> Result<Signer, Problem> {
    let tenant = &desk.tenant;
    Ok(tenant.keyring().signer(&Origin::of(&tenant.log().head()?))?)
}

fn plain(text: String) -> Response {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, plain)], text).into_response()
}
