//! The token that opens the control endpoint.

use std::{fmt, io, path::Path};

use ldbg_sys::{fill_random, read_private, write_private};
use subtle::ConstantTimeEq;

/// Where the agent leaves its token unless told otherwise. The image ships the
/// directory with mode 1777, so that it works as any uid.
pub const TOKEN_FILE: &str = "/run/ldbg/token";

/// 32 random bytes in hexadecimal. Never logged: [`fmt::Debug`] hides it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = [0; 32];
        fill_random(&mut bytes)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The token that the agent of this container left in `path`.
    ///
    /// # Errors
    /// When there is none, when it belongs to another user, when others may read
    /// it (they may then have put it there), or when it is no token.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = read_private(path, 65)?;
        match std::str::from_utf8(&bytes).map(str::trim_ascii_end) {
            Ok(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no token")),
        }
    }

    /// Leaves it in `path`, mode 0600, in place of whatever token was there.
    ///
    /// # Errors
    /// When the directory is missing or not writable, or when the name is taken
    /// by another user's file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_private(path, format!("{}\n", self.0).as_bytes())
    }

    /// The 64 hexadecimal digits.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether an `Authorization` header's value carries this token (RFC 6750,
    /// section 2.1), in a time that does not depend on how much of it is right.
    pub(crate) fn grants(&self, authorization: &[u8]) -> bool {
        let Some((scheme, token)) = authorization.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(token.trim_ascii().ct_eq(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn only_the_whole_token_after_the_bearer_scheme_is_let_in() {
        let token = Token::generate().expect("random bytes");
        let text = token.reveal();
        assert_eq!(text.len(), 64);
        for good in [format!("Bearer {text}"), format!("bearer {text}"), format!("BEARER  {text} ")] {
            assert!(token.grants(good.as_bytes()), "{good}");
        }
        let other = Token::generate().expect("random bytes");
        for bad in [
            String::new(),
            "Bearer".into(),
            "Bearer ".into(),
            text.into(),
            format!("Basic {text}"),
            format!("Bearer {}", &text[..63]),
            format!("Bearer {text}0"),
            format!("Bearer {}", other.reveal()),
        ] {
            assert!(!token.grants(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn debug_output_hides_it() {
        let token = Token::generate().expect("random bytes");
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
