//! nginx with fcgiwrap and `git http-backend`, set up as their manuals say, in front of the
//! same repositories.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use refwarden_testkit::{Git, within};
use tempfile::TempDir;

use crate::machine::sbin;

/// A running nginx.
pub struct Nginx {
    server: Child,
    wrapper: Child,
    _directory: TempDir,
    url: String,
}

impl Nginx {
    /// Starts it in front of the repositories in `root`.
    pub fn start(git: &Git, root: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let socket = path("fcgi.sock");
        let mut wrapper = Command::new(sbin("fcgiwrap"));
        wrapper
            .args(["-c", "4", "-s", &format!("unix:{socket}")])
            .env_clear();
        git.environment(&mut wrapper);
        let wrapper = wrapper
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let backend = git.text(root, &["--exec-path"]) + "/git-http-backend";
        let user = if is_root() { "user root;" } else { "" };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let root = root.display();
        let directory_path = directory.path().display();
        let configuration = format!(
            r"daemon off; {user} worker_processes {cores};
pid {directory_path}/pid; error_log {directory_path}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; tcp_nodelay on; sendfile on; client_max_body_size 0;
  client_body_temp_path {directory_path}/body; fastcgi_temp_path {directory_path}/fastcgi;
  proxy_temp_path {directory_path}/proxy; uwsgi_temp_path {directory_path}/uwsgi;
  scgi_temp_path {directory_path}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      fastcgi_pass unix:{socket};
      fastcgi_buffering off;
      fastcgi_request_buffering off;
      fastcgi_param SCRIPT_FILENAME {backend};
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param GIT_PROJECT_ROOT {root};
      fastcgi_param GIT_PROTOCOL $http_git_protocol;
      fastcgi_param PATH_INFO $uri;
      fastcgi_param REMOTE_USER bench;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
    }}
  }}
}}
"
        );
        std::fs::write(path("nginx.conf"), configuration).unwrap();
        let mut server = Command::new(sbin("nginx"))
            .args(["-c", &path("nginx.conf"), "-p", &path("")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        within("nginx listens", Duration::from_secs(10), || {
            assert!(server.try_wait().unwrap().is_none(), "nginx ended");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            server,
            wrapper,
            _directory: directory,
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    /// The URL of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}.git", self.url)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its workers as well.
        let pid = i32::try_from(self.server.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.server.wait();
        let _ = self.wrapper.kill();
        let _ = self.wrapper.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
