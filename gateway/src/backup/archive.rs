//! One archive: a file encrypted with age (age-encryption.org/v1), and its hash.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use domain::ids::hex_digits;

use age::secrecy::ExposeSecret;
use age::x25519;
use age::{DecryptError, Decryptor, Encryptor};
use aws_lc_rs::digest::{Context, SHA256};
use zeroize::Zeroizing;

use super::{BackupError, at};

/// To whom backups are encrypted.
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads recipients as age writes them.
    ///
    /// # Errors
    /// Names the first that is none.
    pub fn parse(texts: &[String]) -> Result<Self, BackupError> {
        let parse = |text: &String| text.parse().map_err(|_| BackupError::Recipient(text.clone()));
        Ok(Self(texts.iter().map(parse).collect::<Result<_, _>>()?))
    }
}

/// Who may open them.
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Reads the identities of a file as age writes them.
    ///
    /// # Errors
    /// Where it cannot be read, or there is none in it.
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let text = Zeroizing::new(std::fs::read(path).map_err(at(path))?);
        Self::parse(&text).ok_or_else(|| BackupError::Identity(path.to_owned()))
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let lines = std::str::from_utf8(text).ok()?.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let identities: Vec<x25519::Identity> =
            lines.map(|line| line.parse().ok()).collect::<Option<_>>()?;
        (!identities.is_empty()).then_some(Self(identities))
    }

    fn each(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| identity as &dyn age::Identity)
    }
}

/// To whom the keyrings of one backup are encrypted besides.
pub(super) struct Inner(x25519::Identity);

impl Inner {
    pub(super) fn new() -> Self {
        Self(x25519::Identity::generate())
    }

    pub(super) fn secret(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_string().expose_secret().as_bytes().to_vec())
    }
}

/// What is written, counted and hashed.
struct Hashed<T> {
    to: T,
    bytes: u64,
    hash: Context,
}

impl<T> Hashed<T> {
    fn new(to: T) -> Self {
        Self { to, bytes: 0, hash: Context::new(&SHA256) }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
    }

    fn hex(self) -> String {
        hex_digits(self.hash.finish().as_ref()).collect()
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.take(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.to.read(bytes)?;
        self.take(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Encrypts a file into another; answers the length and hash of that.
pub(super) fn write(
    from: &Path,
    to: &Path,
    recipients: &Recipients,
    inner: Option<&Inner>,
) -> Result<(u64, String), BackupError> {
    let mut from_file = BufReader::new(File::open(from).map_err(at(from))?);
    let file = File::create_new(to).map_err(at(to))?;
    let outer = encryptor(recipients)?;
    let mut outer = outer.wrap_output(Hashed::new(BufWriter::new(file))).map_err(at(to))?;
    if let Some(Inner(identity)) = inner {
        let own = Recipients(vec![identity.to_public()]);
        let mut sealed = encryptor(&own)?.wrap_output(outer).map_err(at(to))?;
        std::io::copy(&mut from_file, &mut sealed).map_err(at(to))?;
        outer = sealed.finish().map_err(at(to))?;
    } else {
        std::io::copy(&mut from_file, &mut outer).map_err(at(to))?;
    }
    let mut hashed = outer.finish().map_err(at(to))?;
    hashed.flush().map_err(at(to))?;
    hashed.to.get_ref().sync_all().map_err(at(to))?;
    Ok((hashed.bytes, hashed.hex()))
}

fn encryptor(recipients: &Recipients) -> Result<Encryptor, BackupError> {
    let each = recipients.0.iter().map(|recipient| recipient as &dyn age::Recipient);
    Ok(Encryptor::with_recipients(each)?)
}

/// Decrypts a file whose hash is known into another.
pub(super) fn read(
    from: &Path,
    to: &Path,
    sha256: &str,
    identities: &Identities,
    inner: Option<&Identities>,
) -> Result<(), BackupError> {
    let damaged = || BackupError::Damaged(from.to_owned());
    let mut file = Hashed::new(BufReader::new(File::open(from).map_err(at(from))?));
    std::io::copy(&mut file, &mut std::io::sink()).map_err(at(from))?;
    if file.hex() != sha256 {
        return Err(damaged());
    }
    let file = BufReader::new(File::open(from).map_err(at(from))?);
    let outer = opened(file, identities, from)?;
    let mut into = File::create(to).map_err(at(to))?;
    let copied = match inner {
        Some(inner) => {
            let mut text = opened(outer, inner, from)?;
            std::io::copy(&mut text, &mut into)
        }
        None => {
            let mut text = outer;
            std::io::copy(&mut text, &mut into)
        }
    };
    copied.map_err(|_| damaged()).map(drop)
}

fn opened<R: Read>(
    file: R,
    identities: &Identities,
    from: &Path,
) -> Result<impl Read, BackupError> {
    let damaged = |error: DecryptError| {
        if matches!(error, DecryptError::NoMatchingKeys) {
            BackupError::Foreign
        } else {
            BackupError::Damaged(from.to_owned())
        }
    };
    Decryptor::new(file).map_err(damaged)?.decrypt(identities.each()).map_err(damaged)
}

/// Encrypts a few bytes into a file.
pub(super) fn write_bytes(
    bytes: &[u8],
    to: &Path,
    recipients: &Recipients,
) -> Result<(), BackupError> {
    let file = File::create(to).map_err(at(to))?;
    let mut sealed = encryptor(recipients)?.wrap_output(file).map_err(at(to))?;
    sealed.write_all(bytes).map_err(at(to))?;
    let file = sealed.finish().map_err(at(to))?;
    file.sync_all().map_err(at(to))
}

/// Decrypts a small file.
pub(super) fn read_bytes(
    from: &Path,
    identities: &Identities,
) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let file = BufReader::new(File::open(from).map_err(at(from))?);
    let mut bytes = Zeroizing::new(Vec::new());
    let read = opened(file, identities, from)?.read_to_end(&mut bytes);
    read.map_err(|_| BackupError::Damaged(from.to_owned()))?;
    Ok(bytes)
}
