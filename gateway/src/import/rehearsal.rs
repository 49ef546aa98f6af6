//! A dry run: every row is decided as the ledger would, on a book that is thrown away.

use std::collections::BTreeMap;

use domain::booking::{NewPart, Request, Role, Wanted};
use domain::sealed::FieldSet;
use domain::{FenceId, Handle, RetentionClass, Sealed};
use eventstore::{PersonState, Tenant};

use super::ImportError;
use super::landing::{Arrival, malformed};
use super::mapping::Mapping;
use super::refusal::{Fault, Why};
use super::report::Report;
use super::survey::{person_key, reference};
use super::target::Trial;
use crate::intake::{self, IntakeError};

/// A dry run's rows.
pub(super) struct Rehearsal<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) mapping: &'a Mapping,
    pub(super) trial: Trial,
    /// The contact fields of those whom more than one row may mean.
    pub(super) people: BTreeMap<String, FieldSet>,
}

impl Rehearsal<'_> {
    /// Decides a row and counts it.
    pub(super) fn take(
        &mut self,
        arrival: Arrival,
        report: &mut Report,
    ) -> Result<(), ImportError> {
        let line = arrival.line;
        let same = arrival.plan.same.as_deref().map(|same| person_key(self.mapping, same));
        let known = match &same {
            Some(same) => self.known(same)?,
            None => Ok(None),
        };
        match known.and_then(|known| self.decide(arrival, known)) {
            Ok(contact) => {
                report.imported += 1;
                self.people.extend(same.map(|same| (same, contact)));
            }
            Err(fault) => report.refuse(line, fault),
        }
        Ok(())
    }

    /// What somebody has given who was here before, in this file or an earlier one.
    fn known(&self, same: &String) -> Result<Result<Option<FieldSet>, Fault>, ImportError> {
        if let Some(fields) = self.people.get(same) {
            return Ok(Ok(Some(*fields)));
        }
        let keyring = self.tenant.keyring();
        let Some(person) = keyring.find(&reference(same.clone()))?.first().copied() else {
            return Ok(Ok(None));
        };
        Ok(match keyring.info(person)? {
            Some(info) if info.state == PersonState::Live => Ok(Some(info.fields)),
            Some(info) if info.state == PersonState::Restricted => Err(Fault::new(Why::Restricted)),
            Some(_) | None => Ok(None),
        })
    }

    /// Answers the contact fields that the person has from now on.
    fn decide(&mut self, arrival: Arrival, known: Option<FieldSet>) -> Result<FieldSet, Fault> {
        let Arrival { service, resource, mut plan, .. } = arrival;
        let contact = plan.fields.split_off(RetentionClass::Contact);
        let fields = match known {
            Some(fields) => fields,
            None => {
                if let Err(IntakeError::FieldMalformed(field)) = intake::lookups(&contact) {
                    return Err(malformed(self.mapping, field));
                }
                contact.fields()
            }
        };
        // Handle, fence and seals of nobody: no rule looks at them beyond that.
        let handle = Handle(0);
        let part = NewPart {
            handle,
            role: Role::Booker,
            details: Sealed::new(handle, 0),
            health: None,
            accounting: None,
            fence: FenceId([0; 16]),
            given: fields.union(plan.fields.fields()),
            registers: known.is_none().then(|| Sealed::new(handle, 0)),
        };
        let request = Request {
            service,
            wanted: vec![Wanted { resource, units: plan.units }],
            slot: plan.slot,
            parts: vec![part],
            party: plan.party,
            channel: plan.channel,
            policy: None,
            price: plan.price,
            past: plan.past,
        };
        let decided = self.trial.book(request, plan.booked);
        decided.map(|()| fields).map_err(|refusal| Fault::new(Why::from(refusal)))
    }
}
