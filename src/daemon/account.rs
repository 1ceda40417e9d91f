//! `user` and `group`: looked up once, in the host; a child in its chroot could not.

use super::capability::{self, SETGID, SETUID};
use crate::error::{Error, Result};
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist, getgroups};
use std::ffi::CString;

/// Whom the children become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// `None`: only the group changes.
    pub(crate) uid: Option<u32>,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Whoever is named, by name or number. `None`: nobody is.
pub(crate) fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Account>> {
    let gid = group.map(find_group).transpose()?;
    let account = match (user, gid) {
        (None, None) => return Ok(None),
        (None, Some(gid)) => Account {
            uid: None,
            gid,
            groups: vec![gid],
        },
        (Some(user), gid) => find_user(user, gid)?,
    };
    account.check(user, group)?;
    Ok(Some(account))
}

fn find_user(text: &str, group: Option<u32>) -> Result<Account> {
    let number: Option<u32> = text.parse().ok();
    let found = match number {
        Some(uid) => User::from_uid(Uid::from_raw(uid)),
        None => User::from_name(text),
    };
    let found = found.map_err(|errno| Error::os(errno, format!("user = {text}")))?;
    match (found, number, group) {
        (Some(user), _, group) => {
            let gid = group.unwrap_or(user.gid.as_raw());
            let name = CString::new(user.name).unwrap_or_default();
            let groups = getgrouplist(&name, Gid::from_raw(gid))
                .map_err(|errno| Error::os(errno, format!("groups of user = {text}")))?;
            Ok(Account {
                uid: Some(user.uid.as_raw()),
                gid,
                groups: groups.into_iter().map(Gid::as_raw).collect(),
            })
        }
        // A number needs no name, but then nobody knows its groups.
        (None, Some(uid), Some(gid)) => Ok(Account {
            uid: Some(uid),
            gid,
            groups: vec![gid],
        }),
        (None, Some(_), None) => Err(Error::config(format!(
            "user = {text}: this number has no name here, so group must be set, too"
        ))),
        (None, None, _) => Err(Error::config(format!(
            "user = {text}: must be the name or number of a user of this system"
        ))),
    }
}

fn find_group(text: &str) -> Result<u32> {
    if let Ok(gid) = text.parse() {
        return Ok(gid);
    }
    let found =
        Group::from_name(text).map_err(|errno| Error::os(errno, format!("group = {text}")))?;
    found.map(|group| group.gid.as_raw()).ok_or_else(|| {
        Error::config(format!(
            "group = {text}: must be the name or number of a group of this system"
        ))
    })
}

impl Account {
    /// Does this process have that identity already?
    pub(crate) fn is_mine(&self) -> bool {
        let uid = self.uid.is_none_or(|uid| uid == geteuid().as_raw());
        let groups = getgroups().unwrap_or_default();
        let has = |gid: &u32| groups.iter().any(|g| g.as_raw() == *gid);
        uid && self.gid == getegid().as_raw()
            && self.groups.iter().all(|g| has(g) || *g == self.gid)
    }

    fn check(&self, user: Option<&str>, group: Option<&str>) -> Result<()> {
        let mine = capability::permitted();
        if mine & SETUID != 0 && mine & SETGID != 0 || self.is_mine() {
            return Ok(());
        }
        let (key, value) = match (user, group) {
            (Some(user), _) => ("user", user),
            (None, group) => ("group", group.unwrap_or_default()),
        };
        Err(Error::config(format!(
            "{key} = {value}: must be this process's own ({}:{}), as only root (cap_setuid, \
             cap_setgid) can change it",
            geteuid(),
            getegid()
        )))
    }

    /// Order: what needs the privileges first, the user last.
    pub(crate) fn assume(&self) -> Result<()> {
        if self.is_mine() {
            return Ok(());
        }
        let groups: Vec<Gid> = self.groups.iter().map(|g| Gid::from_raw(*g)).collect();
        let gid = Gid::from_raw(self.gid);
        nix::unistd::setgroups(&groups).map_err(|e| Error::os(e, "setgroups"))?;
        nix::unistd::setresgid(gid, gid, gid).map_err(|e| Error::os(e, "setresgid"))?;
        if let Some(uid) = self.uid {
            let uid = Uid::from_raw(uid);
            nix::unistd::setresuid(uid, uid, uid).map_err(|e| Error::os(e, "setresuid"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_found_by_name_and_number() {
        let root = find_user("root", None).unwrap();
        assert_eq!((root.uid, root.gid), (Some(0), 0));
        assert_eq!(find_user("0", None).unwrap(), root);
        let other = find_user("root", Some(7)).unwrap();
        assert_eq!((other.gid, other.groups.contains(&7)), (7, true));
        let number = find_user("987654", Some(7)).unwrap();
        assert_eq!((number.uid, number.groups), (Some(987_654), vec![7]));
        assert_eq!(find(None, None), Ok(None));
    }

    #[test]
    fn complaints() {
        let text = |user, group| find(user, group).unwrap_err().text.into_owned();
        assert_eq!(
            text(Some("no such"), None),
            "user = no such: must be the name or number of a user of this system"
        );
        assert!(text(Some("987654"), None).contains("so group must be set"));
        assert_eq!(
            text(None, Some("no such")),
            "group = no such: must be the name or number of a group of this system"
        );
    }
}
