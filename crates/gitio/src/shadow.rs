//! How shadows are served: stock git, and a configuration that stands between a shadow and its
//! readers. For the proxy and the login shell, which must not differ in it.

use std::path::Path;

use crate::Git;

/// What stands between a shadow and its readers besides what it holds. Whatever it holds may be
/// asked for by name, so that partial clones work in every version of the protocol. Everything
/// that tells of something else is off, whatever git's defaults become.
const FETCH: [(&str, &str); 13] = [
    ("safe.directory", "*"),
    ("uploadpack.allowAnySHA1InWant", "true"),
    ("uploadpack.allowFilter", "true"),
    ("uploadpackfilter.allow", "false"),
    ("uploadpackfilter.blob:none.allow", "true"),
    ("uploadpackfilter.blob:limit.allow", "true"),
    ("uploadpackfilter.tree.allow", "true"),
    ("uploadpackfilter.object:type.allow", "true"),
    ("uploadpackfilter.combine.allow", "true"),
    ("uploadpack.allowRefInWant", "false"),
    ("uploadpack.advertiseBundleURIs", "false"),
    ("transfer.advertiseObjectInfo", "false"),
    ("transfer.advertiseSID", "false"),
];

/// How a shadow's refs are advertised to those who push. Nothing is ever pushed into a shadow.
const PUSH: [(&str, &str); 4] = [
    ("safe.directory", "*"),
    ("receive.advertiseAtomic", "true"),
    ("receive.advertisePushOptions", "true"),
    ("transfer.advertiseSID", "false"),
];

/// `git upload-pack`, to which the directory is the last argument.
pub fn upload_pack(shadow: &Path) -> Git {
    configured(shadow, "upload-pack", &FETCH).arg("--strict")
}

/// `git receive-pack` that tells where the shadow's refs are, and takes nothing. The directory is
/// the last argument.
pub fn advertise_to_pushers(shadow: &Path) -> Git {
    configured(shadow, "receive-pack", &PUSH).arg("--http-backend-info-refs")
}

fn configured(shadow: &Path, subcommand: &str, settings: &[(&str, &str)]) -> Git {
    let mut git = Git::serving(shadow, subcommand)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (number, (key, value)) in settings.iter().enumerate() {
        git = git
            .env(&format!("GIT_CONFIG_KEY_{number}"), key)
            .env(&format!("GIT_CONFIG_VALUE_{number}"), value);
    }
    git
}

/// What git said on standard error, for a log. Long words are left out but for object ids: a ref
/// name can hold a secret.
pub fn presentable(said: &[u8]) -> String {
    let words = said.split(u8::is_ascii_whitespace);
    let shown = words.map(|word| {
        let oid = matches!(word.len(), 40 | 64) && word.iter().all(u8::is_ascii_hexdigit);
        if word.len() < 16 || oid {
            refwarden_model::bytes::escape(word)
        } else {
            "[...]".to_owned()
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_holds_no_long_words() {
        let oid = "0123456789abcdef0123456789abcdef01234567";
        let said = format!("fatal: bad\x1b ref 'refs/heads/long-enough-to-be-one' {oid}\n");
        assert_eq!(
            presentable(said.as_bytes()),
            format!("fatal: bad\\x1b ref [...] {oid} ")
        );
    }
}
