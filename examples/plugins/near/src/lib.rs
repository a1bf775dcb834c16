//! `near(LATITUDE, LONGITUDE, RADIUS)`: nodes whose label `geo` lies within the
//! radius, as the crow flies.

use swarmw_sdk::*;

/// One expression, read.
struct Near {
    place: Place,
    radius_km: f64,
    column: String,
}

/// Degrees.
struct Place {
    latitude: f64,
    longitude: f64,
}

#[derive(Options)]
struct Settings {
    /// the label that says where a node is, as LATITUDE,LONGITUDE
    #[option(default = "geo")]
    label: String,
    /// unit of a radius without one
    #[option(default = "km")]
    unit: Unit,
}

#[derive(Choice, Clone, Copy)]
enum Unit {
    Km,
    Mi,
}

export!(Near: Constraint);

/// Mean radius of the earth (IUGG).
const EARTH_KM: f64 = 6_371.0088;
const MILE_KM: f64 = 1.609_344;

impl Constraint for Near {
    const NAME: &'static str = "example/near";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::call("near")]
    }

    fn compile(expression: &str, settings: &Settings) -> Result<Self, Problem> {
        let [latitude, longitude, radius] = call("near", expression)?;
        let degrees = |text: &str, most: f64, what: &str| {
            text.parse().ok().filter(|d: &f64| d.abs() <= most).ok_or_else(|| {
                let message = format!("'{text}' is no {what} from -{most} to {most}");
                problem("bad-place", message).at(expression, text)
            })
        };
        let place = Place {
            latitude: degrees(latitude, 90.0, "latitude")?,
            longitude: degrees(longitude, 180.0, "longitude")?,
        };
        let radius_km = kilometres(radius, settings.unit).ok_or_else(|| {
            problem("bad-radius", format!("'{radius}' is no distance"))
                .at(expression, radius)
                .hint("try 50km or 30mi")
        })?;
        let column = node_column(&format!("node.labels.{}", settings.label))
            .ok_or_else(|| problem("bad-label", "the label's name is empty").of_option("label"))?;
        Ok(Near { place, radius_km, column })
    }

    fn reads(&self) -> Vec<ColumnRef> {
        vec![column(&self.column, ColumnType::Text)]
    }

    fn matches(&self, node: &Row<'_>, _: &Settings) -> bool {
        let place = node.text(0).and_then(Place::parse);
        place.is_some_and(|place| self.place.distance_km(&place) <= self.radius_km)
    }

    fn reason(&self) -> String {
        let Place { latitude, longitude } = self.place;
        format!("not within {} km of {latitude},{longitude}", self.radius_km)
    }
}

/// `50km`, `30mi`, or a number of the default unit.
fn kilometres(text: &str, default: Unit) -> Option<f64> {
    let (number, unit) = if let Some(number) = text.strip_suffix("km") {
        (number, Unit::Km)
    } else if let Some(number) = text.strip_suffix("mi") {
        (number, Unit::Mi)
    } else {
        (text, default)
    };
    let number: f64 = number.trim_end().parse().ok()?;
    let factor = match unit {
        Unit::Km => 1.0,
        Unit::Mi => MILE_KM,
    };
    (number.is_finite() && number >= 0.0).then_some(number * factor)
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (latitude, longitude) = text.split_once(',')?;
        let degrees = |text: &str| text.trim().parse().ok().filter(|d: &f64| d.is_finite());
        Some(Self { latitude: degrees(latitude)?, longitude: degrees(longitude)? })
    }

    /// Along the great circle, by the haversine formula.
    fn distance_km(&self, other: &Self) -> f64 {
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let north = ((b - a) / 2.0).sin();
        let east = ((other.longitude - self.longitude).to_radians() / 2.0).sin();
        let chord = north * north + a.cos() * b.cos() * east * east;
        2.0 * EARTH_KM * chord.sqrt().min(1.0).asin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_atlas() {
        let place = |text| Place::parse(text).expect(text);
        for (from, to, km) in [
            ("51.5074,-0.1278", "48.8566,2.3522", 344.0),
            ("35.6762,139.6503", "-33.8688,151.2093", 7_823.0),
            ("0,179.5", "0,-179.5", 111.2),
            ("90,0", "-90,0", 20_015.0),
        ] {
            let found = place(from).distance_km(&place(to));
            assert!((found - km).abs() < km / 500.0, "{from} to {to}: {found}");
        }
    }
}
