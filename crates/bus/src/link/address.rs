//! Reads the addresses of Redis: which form it has, where it is, and how one gets in.
//!
//! Must never show a password.

use redis::io::tcp::TcpSettings;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult,
    TlsCertificates,
};

use super::cluster::Seeds;
use super::endpoint::Endpoint;
use super::sentinel::Sentinel;
use crate::config::{BusConfig, BusError, without_credentials};

/// Where Redis listens unless said otherwise.
const PORT: u16 = 6379;
/// Where a Sentinel listens unless said otherwise.
const SENTINEL_PORT: u16 = 26_379;
/// How many servers may be named at most.
const HOSTS_MAX: usize = 64;

/// The ways to run Redis.
pub(crate) enum Form {
    /// One server, one that Sentinels choose, or several by hash: as many shards as there are.
    Fixed(Vec<Endpoint>),
    /// The masters of a cluster, which come and go.
    Cluster(Seeds),
}

/// How one gets into a server whose address is found out later.
#[derive(Clone)]
pub(super) struct Access {
    settings: RedisConnectionInfo,
    tls: bool,
    roots: Option<Vec<u8>>,
}

impl Access {
    /// A client for the server at this address.
    pub(super) fn client(&self, host: &str, port: u16) -> RedisResult<Client> {
        let address = if self.tls {
            ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host.to_owned(), port)
        };
        open(address.into_connection_info()?, self.settings.clone(), self.roots.as_deref())
    }
}

/// Reads the configured addresses. None for a bus inside the process.
///
/// # Errors
/// When one of them, or the file with the authorities, cannot be read.
pub(crate) fn parse(config: &BusConfig) -> Result<Option<Form>, BusError> {
    let roots = match &config.ca_file {
        Some(path) => Some(std::fs::read(path).map_err(|error| {
            BusError::Setting(format!("the authorities of Redis in {} cannot be read: {error}", path.display()))
        })?),
        None => None,
    };
    match &config.urls[..] {
        [] => Ok(None),
        [url] => parse_one(url, config, roots).map(Some),
        several if several.len() > HOSTS_MAX => {
            Err(BusError::Setting(format!("more than {HOSTS_MAX} Redis servers are named")))
        }
        several => {
            let servers = several.iter().map(|url| server(url, roots.clone()));
            Ok(Some(Form::Fixed(servers.collect::<Result<_, _>>()?)))
        }
    }
}

fn parse_one(url: &str, config: &BusConfig, roots: Option<Vec<u8>>) -> Result<Form, BusError> {
    let scheme = scheme(url)?;
    match scheme {
        "redis+sentinel" | "rediss+sentinel" => {
            let parts = Parts::read(url, SENTINEL_PORT)?;
            let (name, db) = parts.path.split_once('/').unwrap_or((parts.path, ""));
            if name.is_empty() {
                return Err(wrong(url, "it names no master, as in redis+sentinel://host1,host2/NAME".to_owned()));
            }
            let access = parts.access(db, roots.clone())?;
            let mut own = RedisConnectionInfo::default().set_skip_set_lib_name();
            if let Some(user) = &config.sentinel_user {
                own = own.set_username(user);
            }
            if let Some(password) = &config.sentinel_password {
                own = own.set_password(password);
            }
            let own = Access { settings: own, tls: parts.tls, roots };
            let sentinels = parts.hosts.iter().map(|(host, port)| own.client(host, *port));
            let sentinels = sentinels.collect::<RedisResult<Vec<_>>>().map_err(|error| cause(url, &error))?;
            let sentinel = Sentinel::new(sentinels, name.to_owned(), access, without_credentials(url));
            Ok(Form::Fixed(vec![Endpoint::Sentinel(sentinel)]))
        }
        "redis+cluster" | "rediss+cluster" => {
            let parts = Parts::read(url, PORT)?;
            if !parts.path.is_empty() {
                return Err(wrong(url, "a cluster has one database and no name".to_owned()));
            }
            Ok(Form::Cluster(Seeds { access: parts.access("", roots)?, hosts: parts.hosts }))
        }
        _ => Ok(Form::Fixed(vec![server(url, roots)?])),
    }
}

/// One server.
fn server(url: &str, roots: Option<Vec<u8>>) -> Result<Endpoint, BusError> {
    match scheme(url)? {
        "redis" | "rediss" => {}
        other => return Err(BusError::Scheme { scheme: other.to_owned() }),
    }
    let parsed: ConnectionInfo = url.into_connection_info().map_err(|error| cause(url, &error))?;
    if let ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } = parsed.addr()
        && host.contains(',')
    {
        let reason = "it names several hosts, which redis+sentinel:// or redis+cluster:// may; servers that know nothing \
                      of each other have an address each";
        return Err(wrong(url, reason.to_owned()));
    }
    let settings = greeting(parsed.redis_settings().clone());
    let client = open(parsed, settings, roots.as_deref()).map_err(|error| cause(url, &error))?;
    Ok(Endpoint::Server { client, shown: without_credentials(url) })
}

fn scheme(url: &str) -> Result<&str, BusError> {
    let Some((scheme, _)) = url.split_once("://") else {
        return Err(wrong(url, "it needs a scheme, as in redis://host:6379".to_owned()));
    };
    Ok(scheme)
}

fn greeting(settings: RedisConnectionInfo) -> RedisConnectionInfo {
    // CLIENT SETINFO came with Redis 7.2; before, an ACL could not even name it.
    settings.set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name()
}

fn open(address: ConnectionInfo, settings: RedisConnectionInfo, roots: Option<&[u8]>) -> RedisResult<Client> {
    let tcp = TcpSettings::default().set_nodelay(true);
    let whole = address.set_redis_settings(settings).set_tcp_settings(tcp);
    match (whole.addr(), roots) {
        (ConnectionAddr::TcpTls { .. }, Some(roots)) => {
            Client::build_with_tls(whole, TlsCertificates { client_tls: None, root_cert: Some(roots.to_vec()) })
        }
        _ => Client::open(whole),
    }
}

fn wrong(url: &str, reason: String) -> BusError {
    BusError::Address { url: without_credentials(url), reason }
}

/// The library's own text may quote the address with its password, so only its kind is shown.
fn cause(url: &str, error: &redis::RedisError) -> BusError {
    wrong(url, error.category().to_lowercase())
}

/// An address that names several hosts, taken apart.
struct Parts<'a> {
    url: &'a str,
    tls: bool,
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<(String, u16)>,
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn read(url: &'a str, default_port: u16) -> Result<Self, BusError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        if rest.contains(['?', '#']) {
            return Err(wrong(url, "it takes no query".to_owned()));
        }
        // A password may hold an `@` or a `/` that somebody forgot to escape: the last `@` ends it.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let (user, password) = match credentials.map(|both| both.split_once(':').unwrap_or((both, ""))) {
            Some((user, password)) => (decoded(url, user)?, decoded(url, password)?),
            None => (None, None),
        };
        let (list, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts = list.split(',').map(|host| read_host(host, default_port));
        let hosts = hosts.collect::<Option<Vec<_>>>().ok_or_else(|| wrong(url, "a host is not valid".to_owned()))?;
        if hosts.len() > HOSTS_MAX {
            return Err(wrong(url, format!("it names more than {HOSTS_MAX} hosts")));
        }
        let path = path.trim_end_matches('/');
        Ok(Self { url, tls: scheme.starts_with("rediss"), user, password, hosts, path })
    }

    fn access(&self, db: &str, roots: Option<Vec<u8>>) -> Result<Access, BusError> {
        let mut settings = greeting(RedisConnectionInfo::default());
        if !db.is_empty() {
            let number = db.parse().map_err(|_| wrong(self.url, "the database is no number".to_owned()))?;
            settings = settings.set_db(number);
        }
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        Ok(Access { settings, tls: self.tls, roots })
    }
}

fn decoded(url: &str, text: &str) -> Result<Option<String>, BusError> {
    if text.is_empty() {
        return Ok(None);
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    Ok(Some(decoded.map_err(|_| wrong(url, "the credentials are no UTF-8".to_owned()))?.into_owned()))
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn read_host(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => default_port,
    };
    (!host.is_empty() && !host.contains(char::is_whitespace)).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Form, BusError> {
        parse(&BusConfig::redis("n", url)).map(|form| form.expect("it names a server"))
    }

    #[test]
    fn refuses_what_it_cannot_use_and_shows_no_password() {
        for (url, part) in [
            ("unix:///run/redis.sock", "unix://"),
            ("localhost:6379", "scheme"),
            ("redis://:hunter2@h1,h2", "several hosts"),
            ("rediss://h1,h2/1", "several hosts"),
            ("redis://:hunter2", "not valid"),
            ("redis+sentinel://:hunter2/main", "host is not valid"),
            ("redis://:hunter2@host:notaport", "not valid"),
            ("redis://:hunter2@host/notanumber", "not valid"),
            ("redis+sentinel://u:hunter2@a,b", "names no master"),
            ("redis+sentinel://u:hunter2@a,b/main/x", "no number"),
            ("redis+sentinel://u:hunter2@a,/main", "host is not valid"),
            ("redis+sentinel://u:hunter2@a:0/main", "host is not valid"),
            ("redis+sentinel://a/main?password=hunter2", "no query"),
            ("redis+cluster://u:hunter2@a,b/0", "one database"),
        ] {
            let Err(error) = read(url) else { panic!("{url} was accepted") };
            let text = error.to_string();
            assert!(text.contains(part) && !text.contains("hunter2"), "{text}");
        }
        let Ok(Form::Fixed(endpoints)) = read("rediss://:hunter2@host:6390/1") else { panic!("refused") };
        assert_eq!(endpoints[0].to_string(), "rediss://host:6390/1");
    }

    #[test]
    fn several_hosts_are_read_with_their_ports_and_one_login() {
        let parts = Parts::read("rediss+sentinel://ada:p%40s@s@a:1,b,[::1]:3,[::2]/main/4", 9).unwrap();
        let hosts: Vec<_> = parts.hosts.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        assert_eq!(hosts, [("a", 1), ("b", 9), ("::1", 3), ("::2", 9)]);
        assert_eq!((parts.user.as_deref(), parts.password.as_deref()), (Some("ada"), Some("p@s@s")));
        assert!(parts.tls && parts.path == "main/4");
        let Ok(Form::Fixed(endpoints)) = read("redis+sentinel://u:hunter2@a,b/main") else { panic!("refused") };
        assert_eq!(endpoints[0].to_string(), "redis+sentinel://a,b/main");
        assert!(
            matches!(read("redis+cluster://:hunter2@a:7000,b"), Ok(Form::Cluster(seeds)) if seeds.hosts.len() == 2)
        );
    }

    #[test]
    fn several_servers_are_plain_ones() {
        let config = |urls: &[&str]| BusConfig {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            ..BusConfig::in_process("n")
        };
        assert!(matches!(parse(&config(&["redis://a", "rediss://b"])), Ok(Some(Form::Fixed(both))) if both.len() == 2));
        assert!(matches!(parse(&config(&["redis://a", "redis+cluster://b"])), Err(BusError::Scheme { .. })));
        let missing = BusConfig { ca_file: Some("/nowhere/ca.pem".into()), ..config(&["rediss://a"]) };
        assert!(matches!(parse(&missing), Err(BusError::Setting(text)) if text.contains("/nowhere/ca.pem")));
    }
}
