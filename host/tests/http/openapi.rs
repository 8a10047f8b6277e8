//! The description of the API: it is served, it is true of the routes, and the page that shows it is complete.

use crate::fake::Server;
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

#[tokio::test(flavor = "multi_thread")]
async fn every_described_operation_exists() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let description = connection.get("/openapi.json").await.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"), "{}", description["openapi"]);
    let tags: Vec<_> = description["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone()).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let target = path.replace(['{', '}'], "");
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            let answer = connection.request(&method.to_uppercase(), &target, &[], b"").await;
            let unknown = answer.status == 405 || (answer.status == 404 && answer.text().contains("there is no route"));
            assert!(!unknown, "{what} is described but is no route: {}", answer.text());
            let operation: &Value = operation;
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}: its id is taken");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{what}: no summary");
            assert!(
                operation["tags"].as_array().is_some_and(|own| own.iter().all(|tag| tags.contains(tag))),
                "{what}: tags"
            );
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{what}: {responses:?}");
            for wildcard in ["4XX", "5XX"] {
                assert_eq!(responses[wildcard]["$ref"], "#/components/responses/Error", "{what}");
            }
        }
    }
}

/// Routes that are added with `route` instead of `routes!` would be missing from the description.
#[test]
fn every_route_is_described() {
    fn look(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for call in [".route(", ".route_service(", ".nest(", ".nest_service("] {
                if text.contains(call) {
                    found.push(format!("{}: {call}", path.display()));
                }
            }
        }
    }
    let mut found = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut found);
    assert!(found.is_empty(), "use `.routes(routes!(…))`: {found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_with_all_its_files() {
    let server = Server::with(|config| config.auth.keys = vec![syrinx::auth::StoredKey::of("key")]).await;
    let mut connection = server.connect().await;
    let redirect = connection.get("/docs").await;
    assert_eq!((redirect.status, redirect.header("location")), (303, "/docs/"));
    let page = connection.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    let text = page.text();
    let files: Vec<&str> = ["href=\"", "src=\""]
        .iter()
        .flat_map(|attribute| text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()))
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert!(!file.starts_with("http") && !file.starts_with("//"), "{file} is elsewhere");
        let answer = connection.get(&format!("/docs/{}", file.trim_start_matches("./"))).await;
        assert!(answer.status == 200 && !answer.body.is_empty(), "{file}: {}", answer.status);
    }
    let script = connection.get("/docs/swagger-initializer.js").await.text();
    assert!(script.contains("/openapi.json"), "{script}");
    assert_eq!(connection.get("/docs/nothing.js").await.status, 404);
    let description = connection.get("/openapi.json").await;
    assert_eq!(description.status, 200);
    assert_eq!(description.json()["security"], serde_json::json!([{"bearer": []}, {"x-api-key": []}]));
}
