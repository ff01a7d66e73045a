//! Stable codes for everything a pusher can be told. Each has a section in docs/codes.md.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $title:literal;)*) => {
        /// A stable code. The first digit is the topic: 1 identity, 2 approval, 3 secrets,
        /// 4 protocol, 5 faults.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code there is, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as written, for example `RW201`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// No token came with the push.
    NoToken = "RW101", "no token";
    /// The token is malformed, or its signature does not verify.
    InvalidToken = "RW102", "the token is not valid";
    /// The token has expired, or is not valid yet.
    ExpiredToken = "RW103", "the token has expired";
    /// The token was made by or for somebody else.
    ForeignToken = "RW104", "the token is not for this service";
    /// The token has released a push already.
    UsedToken = "RW105", "the token was used already";
    /// The token may be used for something else only.
    OutOfScope = "RW106", "outside the token's scope";
    /// The token was revoked.
    RevokedToken = "RW107", "the token was revoked";
    /// A human has to approve.
    NeedsApproval = "RW201", "approval needed";
    /// A human said no.
    Rejected = "RW202", "rejected by an approver";
    /// A policy rule forbids it.
    DeniedByRule = "RW203", "denied by policy";
    /// The ref may not exist under this name.
    DeniedRefName = "RW204", "ref name not allowed";
    /// The push asked what would become of it, and nothing else.
    DryRun = "RW205", "dry run";
    /// Policy lets the reader see nothing of the repository.
    NotReadable = "RW206", "not readable by policy";
    /// A secret stands in the push.
    SecretFound = "RW301", "secret found";
    /// Something in the push could not be scanned.
    ScanFailed = "RW302", "could not be scanned";
    /// A placeholder of a masked view stands where no secret was, or where it may not return.
    Placeholder = "RW303", "a placeholder in the wrong place";
    /// The hook was called with input that git does not produce.
    MalformedInput = "RW401", "malformed input";
    /// The ref is not where the client says it is.
    StaleOldOid = "RW402", "the ref has moved";
    /// A ref is about to move that no released push asked for.
    NotReleased = "RW403", "not released";
    /// The repository is not known to the service.
    UnknownRepository = "RW404", "unknown repository";
    /// A kind of repository or push that Refwarden cannot judge.
    Unsupported = "RW405", "not supported";
    /// A push option is not of the form that it has to have.
    BadOption = "RW406", "push option not understood";
    /// The client reads a masked view, which this transport does not serve.
    ViewNotHere = "RW407", "masked view not served here";
    /// A push from a masked clone cannot be told in terms of the original.
    NotTranslated = "RW408", "cannot be translated back";
    /// The address is served with other methods.
    WrongMethod = "RW409", "wrong method";
    /// As many streams of events are open as may be.
    TooManyStreams = "RW410", "too many streams";
    /// The service does not answer.
    ServiceUnreachable = "RW501", "approval service unreachable";
    /// The service does not answer in time.
    ServiceSlow = "RW502", "approval service too slow";
    /// The service answered with an error.
    ServiceFault = "RW503", "approval service at fault";
    /// The hook itself failed.
    HookFault = "RW504", "hook failed";
    /// The service does not accept the hook's own credential.
    HostRefused = "RW505", "host credential refused";
    /// The masked view that the reader gets is not there yet.
    ViewNotReady = "RW506", "the masked view is not ready";
    /// A fetch cannot be put on record, and nothing was sent.
    NotRecorded = "RW507", "the fetch cannot be recorded";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Code {
    /// Whether it is about the token that came with a request.
    pub const fn is_of_identity(self) -> bool {
        matches!(
            self,
            Self::NoToken
                | Self::InvalidToken
                | Self::ExpiredToken
                | Self::ForeignToken
                | Self::UsedToken
                | Self::OutOfScope
                | Self::RevokedToken
        )
    }

    /// Whether it says that the approval service could not be asked, or does not know who asks.
    pub const fn is_of_service(self) -> bool {
        matches!(
            self,
            Self::ServiceUnreachable
                | Self::ServiceSlow
                | Self::ServiceFault
                | Self::HostRefused
                | Self::UnknownRepository
        )
    }
}
