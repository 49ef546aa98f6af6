//! A receipt in words, on one page, for the person whom it is about.

use clap::ValueEnum;
use jiff::Timestamp;

use super::Statement;

/// The languages a receipt is read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Sv,
    Da,
    Nb,
    En,
}

/// The sentences of a language; `{}` stands for what is filled in, in order.
struct Words {
    title: &'static str,
    erased: &'static str,
    destroyed: &'static str,
    classes: [(&'static str, &'static str); 5],
    kept: &'static str,
    nothing_kept: &'static str,
    recipients: &'static str,
    acknowledged: &'static str,
    unacknowledged: &'static str,
    stays: &'static str,
    backups: &'static str,
    backups_later: &'static str,
    backups_gone: &'static str,
    proves: &'static str,
}

const SV: Words = Words {
    title: "Kvitto på radering",
    erased: "{} raderade den {} allt som fanns om dig som kund {}.",
    destroyed: "Nycklarna är förstörda till {} förseglade uppgifter: {}. Ingen kan läsa dem igen.",
    classes: [
        ("contact", "namn och kontaktuppgifter"),
        ("booking", "bokningars innehåll"),
        ("health", "hälsouppgifter"),
        ("consent", "samtycken"),
        ("accounting", "bokföring"),
    ],
    kept: "{} bokföringsuppgifter sparas till och med {} enligt bokföringslagen, utan koppling till dig.",
    nothing_kept: "Inget sparas av andra skäl.",
    recipients: "Dessa mottagare hade fått uppgifter om dig och har underrättats: {}.",
    acknowledged: "bekräftat {}",
    unacknowledged: "ännu inte bekräftat",
    stays: "Att någon bokade en viss tid finns kvar i historiken, utan uppgift om vem.",
    backups: "Säkerhetskopior från tiden före raderingen kan inte öppnas för detta efter {}.",
    backups_later: "Dagen då ingen säkerhetskopia längre kan öppnas bestäms vid nästa nyckelbyte; kopior sparas i {} dagar.",
    backups_gone: "Sedan {} kan ingen säkerhetskopia öppnas för detta: nyckeln till dem är förstörd.",
    proves: "Underskriften visar att tjänsten har lovat detta och att raderingen står i dess logg. Den visar inte vad någon har skrivit av eller sparat utanför tjänsten.",
};

const DA: Words = Words {
    title: "Kvittering for sletning",
    erased: "{} slettede den {} alt om dig som kunde {}.",
    destroyed: "Nøglerne er ødelagt til {} forseglede oplysninger: {}. Ingen kan læse dem igen.",
    classes: [
        ("contact", "navn og kontaktoplysninger"),
        ("booking", "bookingers indhold"),
        ("health", "helbredsoplysninger"),
        ("consent", "samtykker"),
        ("accounting", "bogføring"),
    ],
    kept: "{} regnskabsoplysninger gemmes til og med {} efter bogføringsreglerne, uden forbindelse til dig.",
    nothing_kept: "Intet gemmes af andre grunde.",
    recipients: "Disse modtagere havde fået oplysninger om dig og er underrettet: {}.",
    acknowledged: "bekræftet {}",
    unacknowledged: "endnu ikke bekræftet",
    stays: "At nogen bookede et bestemt tidspunkt, bliver i historikken, uden oplysning om hvem.",
    backups: "Sikkerhedskopier fra før sletningen kan ikke åbnes for dette efter {}.",
    backups_later: "Dagen, hvor ingen sikkerhedskopi længere kan åbnes, fastsættes ved næste nøgleskift; kopier gemmes i {} dage.",
    backups_gone: "Siden {} kan ingen sikkerhedskopi åbnes for dette: nøglen til dem er ødelagt.",
    proves: "Underskriften viser, at tjenesten har lovet dette, og at sletningen står i dens log. Den viser ikke, hvad nogen har skrevet af eller gemt uden for tjenesten.",
};

const NB: Words = Words {
    title: "Kvittering for sletting",
    erased: "{} slettet den {} alt om deg som kunde {}.",
    destroyed: "Nøklene er ødelagt til {} forseglede opplysninger: {}. Ingen kan lese dem igjen.",
    classes: [
        ("contact", "navn og kontaktopplysninger"),
        ("booking", "bestillingers innhold"),
        ("health", "helseopplysninger"),
        ("consent", "samtykker"),
        ("accounting", "regnskap"),
    ],
    kept: "{} regnskapsopplysninger oppbevares til og med {} etter bokføringsreglene, uten kobling til deg.",
    nothing_kept: "Ingenting oppbevares av andre grunner.",
    recipients: "Disse mottakerne hadde fått opplysninger om deg og er underrettet: {}.",
    acknowledged: "bekreftet {}",
    unacknowledged: "ennå ikke bekreftet",
    stays: "At noen bestilte en bestemt tid, blir i historikken, uten opplysning om hvem.",
    backups: "Sikkerhetskopier fra før slettingen kan ikke åpnes for dette etter {}.",
    backups_later: "Dagen da ingen sikkerhetskopi lenger kan åpnes, fastsettes ved neste nøkkelbytte; kopier oppbevares i {} dager.",
    backups_gone: "Siden {} kan ingen sikkerhetskopi åpnes for dette: nøkkelen til dem er ødelagt.",
    proves: "Underskriften viser at tjenesten har lovet dette, og at slettingen står i loggen. Den viser ikke hva noen har skrevet av eller lagret utenfor tjenesten.",
};

const EN: Words = Words {
    title: "Receipt of an erasure",
    erased: "{} erased on {} everything about you as client {}.",
    destroyed: "The keys to {} sealed pieces of data are destroyed: {}. Nobody can read them again.",
    classes: [
        ("contact", "name and contact details"),
        ("booking", "what was said around bookings"),
        ("health", "health data"),
        ("consent", "consents"),
        ("accounting", "bookkeeping"),
    ],
    kept: "{} pieces of bookkeeping data are kept until {}, as the law demands, linked to nobody.",
    nothing_kept: "Nothing is kept for other reasons.",
    recipients: "These recipients had been given data about you and are told: {}.",
    acknowledged: "acknowledged {}",
    unacknowledged: "not acknowledged yet",
    stays: "That somebody booked a certain time stays in the history, without saying who.",
    backups: "Backups from before the erasure cannot be opened for this after {}.",
    backups_later: "The day from which no backup can be opened is set by the next change of keys; backups are kept for {} days.",
    backups_gone: "Since {} no backup can be opened for this: the key to them is destroyed.",
    proves: "The signature shows that the service has promised this, and that the erasure stands in its log. It does not show what somebody has written down or kept outside of the service.",
};

impl Language {
    fn words(self) -> &'static Words {
        match self {
            Self::Sv => &SV,
            Self::Da => &DA,
            Self::Nb => &NB,
            Self::En => &EN,
        }
    }
}

/// The receipt on one page.
pub fn page(statement: &Statement, language: Language) -> String {
    let words = language.words();
    let name = |class: &String| {
        let known = words.classes.iter().find(|(known, _)| known == class);
        known.map_or_else(|| class.clone(), |(_, name)| (*name).to_owned())
    };
    let classes: Vec<String> = statement.destroyed.iter().map(name).collect();
    let (tenant, client) = (&statement.tenant, &statement.client);
    let seals = statement.seals_ended.to_string();
    let mut lines = vec![
        words.title.to_owned(),
        String::new(),
        fill(words.erased, &[tenant, &day(statement.erased_at), client]),
        fill(words.destroyed, &[&seals, &classes.join(", ")]),
    ];
    lines.extend(
        statement
            .kept
            .iter()
            .map(|kept| fill(words.kept, &[&kept.fields.to_string(), &kept.until])),
    );
    if statement.kept.is_empty() {
        lines.push(words.nothing_kept.to_owned());
    }
    let told = statement.recipients.iter().map(|told| match told.acknowledged_at {
        Some(at) => format!("{} ({})", told.name, fill(words.acknowledged, &[&day(at)])),
        None => format!("{} ({})", told.name, words.unacknowledged),
    });
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        lines.push(fill(words.recipients, &[&told.join(", ")]));
    }
    lines.push(words.stays.to_owned());
    lines.push(match statement.backups.out_of_reach_at {
        Some(at) if statement.backups.out_of_reach => fill(words.backups_gone, &[&day(at)]),
        Some(at) => fill(words.backups, &[&day(at)]),
        None => fill(words.backups_later, &[&statement.backups.kept_days.to_string()]),
    });
    lines.push(words.proves.to_owned());
    lines.join("\n")
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Fills in the blanks of a sentence in order.
fn fill(sentence: &str, values: &[&str]) -> String {
    let mut filled = String::new();
    let mut values = values.iter();
    for (number, piece) in sentence.split("{}").enumerate() {
        if number > 0 {
            filled.push_str(values.next().copied().unwrap_or_default());
        }
        filled.push_str(piece);
    }
    filled
}
