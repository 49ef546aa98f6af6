//! A symmetric key in memory, and the few primitives that are used with it.
//!
//! AES-256-GCM seals (NIST SP 800-38D), AES key wrap holds a key under another (RFC 3394),
//! AES-256-GCM-SIV all of a person's together (RFC 8452), HMAC-SHA-256 makes lookups (RFC 2104), one
//! AES block hides a number. All come from aws-lc.

#[cfg(test)]
mod tests;

use aws_lc_rs::aead::{AES_256_GCM, AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap};
use zeroize::Zeroizing;

use crate::environment::Environment;
use crate::tree;

/// A wrapped key: 32 bytes and eight of integrity (RFC 3394).
pub type Wrapped = [u8; 40];

/// 256 secret bits, overwritten when dropped. Cannot be printed or copied by accident.
pub struct Key(Zeroizing<[u8; 32]>);

/// A key did not fit what it was used on: it is another one, or the bytes were changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key does not fit")]
pub struct WrongKey;

impl Key {
    pub fn random(env: &Environment) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        env.entropy.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the provider that keeps them.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn copied(bytes: &[u8; 32]) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(bytes);
        Self(key)
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Another key under this one.
    pub fn wrap(&self, key: &Self) -> Wrapped {
        let mut wrapped = [0; 40];
        let kek = AesKek::new(&key_wrap::AES_256, self.0.as_slice());
        let done = kek.and_then(|kek| kek.wrap(key.0.as_slice(), &mut wrapped).map(drop));
        done.expect("32 bytes under 32 bytes always fit");
        wrapped
    }

    /// The key that was wrapped under this one.
    ///
    /// # Errors
    /// Where it was another key, or the bytes were changed.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<Self, WrongKey> {
        // Also a shorter key can be wrapped, and would come out with noughts behind it.
        let wrapped: &Wrapped = wrapped.try_into().map_err(|_| WrongKey)?;
        let mut key = Zeroizing::new([0; 32]);
        let kek = AesKek::new(&key_wrap::AES_256, self.0.as_slice()).map_err(|_| WrongKey)?;
        kek.unwrap(wrapped, key.as_mut_slice()).map_err(|_| WrongKey)?;
        Ok(Self(key))
    }

    /// A value that only this key has: GCM alone would let one ciphertext open under two keys.
    pub fn commitment(&self) -> tree::Hash {
        tree::hash(&[b"tidbok/commitment/1", self.0.as_slice()])
    }

    /// Encrypts in place and appends the tag.
    pub fn encrypt(&self, nonce: [u8; 12], aad: &[u8], text: &mut Vec<u8>) {
        let sealed = self.gcm().and_then(|key| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_append_tag(nonce, Aad::from(aad), text).map_err(|_| WrongKey)
        });
        sealed.expect("texts of a few kilobytes are within the cipher's limits");
    }

    /// Decrypts in place; gives the text without its tag.
    ///
    /// # Errors
    /// Where anything was changed, or the key is another one.
    pub fn decrypt<'a>(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        text: &'a mut [u8],
    ) -> Result<&'a [u8], WrongKey> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.gcm()?
            .open_in_place(nonce, Aad::from(aad), text)
            .map(|text| &*text)
            .map_err(|_| WrongKey)
    }

    fn gcm(&self) -> Result<LessSafeKey, WrongKey> {
        UnboundKey::new(&AES_256_GCM, self.0.as_slice()).map(LessSafeKey::new).map_err(|_| WrongKey)
    }

    /// A keyed hash.
    pub fn hmac(&self, pieces: &[&[u8]]) -> tree::Hash {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let mut context = hmac::Context::with_key(&key);
        pieces.iter().for_each(|piece| context.update(piece));
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }

    /// A key that is this one's for one use, and ends with it.
    pub fn derived(&self, purpose: &[u8]) -> Self {
        Self(Zeroizing::new(self.hmac(&[b"tidbok/derived/1", purpose])))
    }

    /// One block under this key: a permutation of 128-bit numbers.
    pub fn encrypt_block(&self, block: [u8; 16]) -> [u8; 16] {
        encrypt(&self.encrypting(), block)
    }

    /// The block that [`Self::encrypt_block`] made this of.
    pub fn decrypt_block(&self, block: [u8; 16]) -> [u8; 16] {
        decrypt(&self.decrypting(), block)
    }

    /// The key set up to wrap many rows one after another.
    pub fn siv(&self) -> Siv {
        let key = UnboundKey::new(&AES_256_GCM_SIV, self.0.as_slice());
        Siv(key.map(LessSafeKey::new).expect("32 bytes are a key"))
    }

    /// The key set up to cover many blocks one after another.
    pub fn cover(&self) -> Cover {
        Cover { encrypting: self.encrypting(), decrypting: self.decrypting() }
    }

    fn encrypting(&self) -> EncryptingKey {
        let key = UnboundCipherKey::new(&cipher::AES_256, self.0.as_slice());
        key.and_then(EncryptingKey::ecb).expect("32 bytes are a key")
    }

    fn decrypting(&self) -> DecryptingKey {
        let key = UnboundCipherKey::new(&cipher::AES_256, self.0.as_slice());
        key.and_then(DecryptingKey::ecb).expect("32 bytes are a key")
    }
}

fn encrypt(key: &EncryptingKey, mut block: [u8; 16]) -> [u8; 16] {
    key.encrypt(&mut block).expect("one whole block always fits");
    block
}

fn decrypt(key: &DecryptingKey, mut block: [u8; 16]) -> [u8; 16] {
    let done = key.decrypt(&mut block, DecryptionContext::None).map(drop);
    done.expect("one whole block always fits");
    block
}

/// A key set up for AES-256-GCM-SIV (RFC 8452), under which a nonce may come again: whoever sees two
/// rows then learns whether they are the same, and no more.
pub struct Siv(LessSafeKey);

impl Siv {
    /// How much longer what is sealed is.
    pub const TAG: usize = 16;

    /// Encrypts in place what stands behind `front` and appends the tag, which covers all of it.
    pub fn seal(&self, nonce: [u8; 12], front: usize, text: &mut Vec<u8>) {
        let front = front.min(text.len());
        let (aad, plain) = text.split_at_mut(front);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), plain);
        text.extend_from_slice(tag.expect("a few keys are within the cipher's limits").as_ref());
    }

    /// Decrypts in place what stands behind `front`, without its tag.
    ///
    /// # Errors
    /// Where anything was changed, or the key is another one.
    pub fn open<'a>(
        &self,
        nonce: [u8; 12],
        front: usize,
        text: &'a mut [u8],
    ) -> Result<&'a [u8], WrongKey> {
        let (aad, sealed) = text.split_at_mut_checked(front).ok_or(WrongKey)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::from(aad), sealed).map(|text| &*text).map_err(|_| WrongKey)
    }
}

/// A key set up for single AES blocks.
pub struct Cover {
    encrypting: EncryptingKey,
    decrypting: DecryptingKey,
}

impl Cover {
    /// As [`Key::encrypt_block`].
    pub fn encrypt_block(&self, block: [u8; 16]) -> [u8; 16] {
        encrypt(&self.encrypting, block)
    }

    /// As [`Key::decrypt_block`].
    pub fn decrypt_block(&self, block: [u8; 16]) -> [u8; 16] {
        decrypt(&self.decrypting, block)
    }
}
