//! `starling repair --accept-loss`.

use starling_replication::Loss;

use super::{
    output,
    repair::{RepairArgs, escaped},
};
use crate::{admin::client, failure::Failure};

/// Shows what is damaged on a node and can't be given back, or gives it up.
pub(super) fn run(args: &RepairArgs) -> Result<(), Failure> {
    let target = args.target.as_deref().and_then(|target| target.split_once('.'));
    let Some((keyspace, table)) = target else {
        return Err(Failure::usage(
            "--accept-loss is about one table: name it, KEYSPACE.TABLE",
        ));
    };
    let path = path(args, keyspace, table);
    let answer = client::post(args.admin, &path);
    let (code, body) = answer.map_err(|error| {
        Failure::work(format!(
            "cannot ask the node at {}: {error}; if it was asked to give data up, look at its log",
            args.admin
        ))
    })?;
    if code != 200 {
        return Err(Failure::work(body.trim()));
    }
    let losses: Vec<Loss> = serde_json::from_str(&body).map_err(Failure::work)?;
    if args.format == output::Format::Json {
        return output::json(&losses);
    }
    println!("{}", text(&losses, args));
    Ok(())
}

/// The page's address.
fn path(args: &RepairArgs, keyspace: &str, table: &str) -> String {
    let mut parts = vec![
        format!("keyspace={}", escaped(keyspace)),
        format!("table={}", escaped(table)),
        format!("accept={}", args.yes),
    ];
    let dead = args.dead.join(",");
    let dead = (!dead.is_empty()).then_some(dead);
    for (name, value) in [("range", &args.range), ("dead", &dead)] {
        parts.extend(value.as_ref().map(|value| format!("{name}={}", escaped(value))));
    }
    format!("/repair/accept-loss?{}", parts.join("&"))
}

fn text(losses: &[Loss], args: &RepairArgs) -> String {
    let target = args.target.as_deref().unwrap_or_default();
    if losses.is_empty() {
        return format!(
            "Nothing of {target} is damaged on this node that its other replicas could not give back. Nothing was changed."
        );
    }
    let or_none = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(" "),
    };
    let row = |loss: &Loss| {
        vec![
            format!("{}:{}", loss.start, loss.end),
            output::bytes(loss.bytes),
            or_none(&loss.replicas),
            or_none(&loss.damaged),
            or_none(&loss.dead),
        ]
    };
    let rows: Vec<Vec<String>> = losses.iter().map(row).collect();
    let header = [
        "damaged tokens",
        "data here",
        "others that are whole",
        "damaged there too",
        "dead for good",
    ];
    let table = output::table(&header, rows);
    let end = if losses.iter().all(|loss| loss.accepted) {
        format!(
            "Given up: of {target} the node, and those that are damaged there too, have what was left of these tokens, and no \
             more."
        )
    } else {
        format!(
            "Nothing was changed. With --yes what only this node, those that are damaged there too, and the dead ones had of \
             these tokens of {target} is lost for good, as far as they can't read it any more; deletions among it may let old \
             data show again. All that are alive get what is left. A backup of the damaged files can still be made before."
        )
    };
    format!("{table}\n\n{end}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RepairArgs,
    }

    fn args(line: &[&str]) -> RepairArgs {
        let words = ["repair"].iter().chain(line);
        Line::try_parse_from(words).expect("it is usage").args
    }

    #[test]
    fn the_address_names_all_that_is_accepted() {
        let args = args(&[
            "ks.t",
            "--accept-loss",
            "--dead",
            "10.0.0.3",
            "--dead",
            "x",
            "--range",
            "-1:2",
        ]);
        assert_eq!(
            path(&args, "ks", "t"),
            "/repair/accept-loss?keyspace=ks&table=t&accept=false&range=-1%3A2&dead=10.0.0.3%2Cx"
        );
    }

    #[test]
    fn flags_that_would_give_data_up_mean_nothing_without_the_order() {
        for line in [
            &["ks.t", "--yes"][..],
            &["ks.t", "--dead", "10.0.0.3"],
            &["--accept-loss"],
            &["ks.t", "--accept-loss", "--preview"],
        ] {
            let words = ["repair"].iter().chain(line);
            assert!(Line::try_parse_from(words).is_err(), "{line:?}");
        }
    }

    #[test]
    fn it_is_told_before_it_is_done() {
        let args = args(&["ks.t", "--accept-loss"]);
        let mut loss = Loss {
            start: -5,
            end: 7,
            bytes: 2048,
            replicas: vec!["10.0.0.2:7000".to_owned()],
            damaged: vec!["10.0.0.3:7000".to_owned()],
            dead: Vec::new(),
            accepted: false,
        };
        let told = text(&[loss.clone()], &args);
        assert!(told.contains("-5:7") && told.contains("10.0.0.2:7000"), "{told}");
        assert!(told.contains("10.0.0.3:7000"), "{told}");
        assert!(
            told.contains("Nothing was changed") && told.contains("--yes"),
            "{told}"
        );
        loss.accepted = true;
        assert!(text(&[loss], &args).contains("Given up"));
        assert!(text(&[], &args).contains("Nothing of ks.t is damaged"));
    }
}
