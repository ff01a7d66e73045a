//! A network of its own for the database, with one cable to it: a pair of virtual interfaces (veth(4))
//! between two network namespaces. Pulled out, whatever either side sends is lost and nobody is told.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::processes::wait;

/// Of the near and the far end. Both ends know the other's, so that nobody asks for it in vain and
/// is told that there is no such host.
const HARDWARE: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

/// The cable. The far namespace is gone with it.
pub struct Link {
    number: u8,
    /// Does nothing, in the far namespace.
    holder: Child,
}

impl Link {
    /// Lays one; `number` tells it from others of this process.
    pub fn new(number: u8) -> Self {
        let holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let link = Self { number, holder };
        let pid = link.holder.id();
        let entered = wait(Duration::from_secs(10), || {
            let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            comm.is_ok_and(|comm| comm.trim() == "cat")
        });
        assert!(entered, "no network namespace was made");
        let [near, far] = HARDWARE;
        let (near_ip, far_ip) = (link.address(1), link.address(2));
        let name = format!("near{number}");
        ip(&format!(
            "link add {name} address {near} type veth peer name far address {far} netns {pid}"
        ));
        ip(&format!("address add {near_ip}/30 dev {name}"));
        ip(&format!("link set {name} up"));
        ip(&format!(
            "neighbour replace {far_ip} lladdr {far} dev {name} nud permanent"
        ));
        link.far("link set lo up");
        link.far(&format!("address add {far_ip}/30 dev far"));
        link.plug();
        link
    }

    /// The address of the far end.
    pub fn far_address(&self) -> Ipv4Addr {
        self.address(2)
    }

    fn address(&self, end: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, self.number, end)
    }

    /// Moves this thread, and those that it starts from now on, to the far side.
    pub fn cross(namespace: &File) {
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), network).unwrap();
    }

    /// The far side, for [`cross`](Self::cross).
    pub fn namespace(&self) -> File {
        File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap()
    }

    /// Pulls the cable out at the far end.
    pub fn unplug(&self) {
        self.far("link set far down");
    }

    /// Puts it in.
    pub fn plug(&self) {
        self.far("link set far up");
        let (near_ip, near) = (self.address(1), HARDWARE[0]);
        self.far(&format!(
            "neighbour replace {near_ip} lladdr {near} dev far nud permanent"
        ));
    }

    fn far(&self, arguments: &str) {
        let pid = self.holder.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--net", "ip"]);
        done(command.args(arguments.split(' ')));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn ip(arguments: &str) {
    done(Command::new("ip").args(arguments.split(' ')));
}

fn done(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|it| it.success()), "{command:?}");
}
