//! The fields of a certificate that people compare (RFC 5280).

use ldbg_model::Certificate;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
    x509::X509Name,
};

/// Reads a certificate's fields from its DER bytes. A control character in a name
/// becomes `?`.
///
/// # Errors
/// The parser's reason, where the bytes are no certificate.
pub fn certificate(der: &[u8]) -> Result<Certificate, String> {
    let (rest, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes behind its end", rest.len()));
    }
    let mut read = Certificate {
        subject: plain(&parsed.subject().to_string()),
        issuer: plain(&parsed.issuer().to_string()),
        names: Vec::new(),
        serial: colons(parsed.raw_serial(), false),
        not_before_unix_s: parsed.validity().not_before.timestamp(),
        not_after_unix_s: parsed.validity().not_after.timestamp(),
        sha256: colons(ring::digest::digest(&ring::digest::SHA256, der).as_ref(), true),
        subject_key_id: None,
        authority_key_id: None,
    };
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                read.names = names.general_names.iter().filter_map(name).collect();
            }
            ParsedExtension::SubjectKeyIdentifier(id) => read.subject_key_id = Some(colons(id.0, true)),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                read.authority_key_id = id.key_identifier.as_ref().map(|id| colons(id.0, true));
            }
            _ => {}
        }
    }
    Ok(read)
}

/// A distinguished name (RFC 5280, 4.1.2.4) in DER as text; hexadecimal where it
/// cannot be parsed.
pub(super) fn distinguished_name(der: &[u8]) -> String {
    match X509Name::from_der(der) {
        Ok((_, name)) => plain(&name.to_string()),
        Err(_) => colons(der, true),
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some(plain(name)),
        _ => None,
    }
}

/// A peer writes into its certificate what it likes, and this is read on a terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

fn colons(bytes: &[u8], capital: bool) -> String {
    let digits = |byte: &u8| if capital { format!("{byte:02X}") } else { format!("{byte:02x}") };
    bytes.iter().map(digits).collect::<Vec<_>>().join(":")
}
