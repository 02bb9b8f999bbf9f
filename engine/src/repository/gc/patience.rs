//! stub
use crate::error::Result; use crate::repository::{Archive, Core}; use crate::store::Key; use std::time::Duration; use crate::format::file::SessionId;
pub(crate) struct Patience;
impl Patience { pub(crate) fn read(_:&Core,_:&[Archive],_:Duration)->Result<Self>{Ok(Self)} pub(crate) fn spares(&self,_:&SessionId)->bool{false} pub(crate) fn spares_any(&self)->bool{false} pub(crate) fn stale_files(&self)->&[Key]{&[]} }
pub(crate) fn session_of(_:&Core,_:&Key)->Result<Option<SessionId>>{Ok(None)}
