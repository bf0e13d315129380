"""The explorer's page in a browser: it computes what JAX does, and goes by mouse and keyboard."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import explore
from experiments.support.explorer import decoder
from tests.support.programs import ROOT, run_program
from tests.support.quick import quick
from vae_jax import Model, datasets, make_vae, make_vae_for, save_model
from vae_jax.datasets import Examples
from vae_jax.distributions import Gaussian, kl_divergence, standard_normal
from vae_jax.models import LIKELIHOODS, LikelihoodRow
from vae_jax.models.likelihoods import make_bernoulli
from vae_jax.networks import ACTIVATIONS, DenseDecoder, NetworkPair, make_layers

SCRIPTS = ROOT / "experiments" / "support" / "explorer"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install '.[test]'")
    if BROWSER is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu"]
        opened = driver.chromium.launch(executable_path=BROWSER, args=arguments)
        yield opened
        opened.close()


def random_params(vae, shape, count=4):
    """Normal numbers for all parameters: biases and scales too, which start at zero."""
    xs = jax.ShapeDtypeStruct((count, *shape), jnp.float32)
    like = jax.eval_shape(vae.init, jax.random.key(0), Examples(xs))
    generator = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: generator.normal(0, 0.4, leaf.shape).astype(np.float32), like)


def random_model(shape, **options):
    """A model with random parameters, of data without meaning."""
    vae = make_vae(shape, **{"latent_dim": 3, "hidden": (7, 5), **options})
    return Model(vae, random_params(vae, shape), datasets.from_arrays(np.zeros((10, *shape))))


def means_by_jax(model, zs, y=None):
    """The means of p(x|z, y), flat."""
    decode = jax.jit(jax.vmap(lambda z: model.vae.decode(model.params, z, y).mean))
    return np.asarray(decode(zs)).reshape(len(zs), -1)


# ---- the decoder alone ----

IMAGE = {"shape": (8, 12, 3), "channels": (4, 2)}
ACTIVATED = [("mlp", "bernoulli", {"activation": name, "shape": (6,)}) for name in ACTIVATIONS]
MEANS = [
    ("mlp", name, {"num_levels": 5, "shape": (6,)}) for name in decoder._MEANS if name != "one_hot"
]
CASES = [
    ("conv", "discretized_logistic", {**IMAGE, "num_levels": 9}),
    ("resnet", "categorical", {**IMAGE, "num_levels": 4, "activation": "silu"}),
    ("conv", "gaussian_scale_per_value", {"shape": (4, 4, 1), "channels": (3,)}),
    ("gated_mlp", "continuous_bernoulli", {"shape": (6,)}),
    ("mlp", "one_hot", {"shape": (6,), "num_levels": (2, 4)}),
    ("mlp", "one_hot", {"shape": (6,), "num_levels": 6}),
    ("mlp", "bernoulli", {"shape": (6,), "hidden": ()}),
    *ACTIVATED,
    *MEANS,
]


@pytest.fixture(scope="module")
def run_decoder(browser):
    """run_decoder(model, zs) -> what decoder.js makes of them."""
    blank = browser.new_page()
    blank.add_script_tag(content=(SCRIPTS / "decoder.js").read_text())
    script = """([decoder, weights, zs]) => {
      const decode = Decoder.make(decoder, Float32Array.from(weights), 0);
      return zs.map((z) => Array.from(decode(z, null)));
    }"""

    def run(model, zs):
        described, weights = decoder.describe_decoder(model)
        return np.array(blank.evaluate(script, [described, weights.tolist(), zs.tolist()]))

    yield run
    blank.close()


@pytest.mark.parametrize(
    "network, likelihood, options", quick(CASES, CASES[0], CASES[1], CASES[3], CASES[4])
)
def test_means_are_those_of_jax(run_decoder, network, likelihood, options):
    """Every network, activation and likelihood. Mutants: a convolution's kernel turned, no bias,
    the gate for the value, an activation after the residual block left out, rows for columns."""
    model = random_model(network=network, likelihood=likelihood, **options)
    zs = np.random.default_rng(1).normal(0, 2, (4, 3)).astype(np.float32)
    expected = means_by_jax(model, zs)
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(run_decoder(model, zs), expected, atol=1e-4, rtol=1e-5)


def test_mean_of_a_continuous_bernoulli_near_zero(run_decoder):
    """Where its closed form is 0 / 0; and far away. Mutant: the closed form everywhere."""
    model = random_model((3,), likelihood="continuous_bernoulli", latent_dim=1, hidden=())
    params = jax.tree.map(np.zeros_like, model.params)
    params["decoder"]["Dense_1"]["kernel"][:] = [[1e-9, 0.04, 700]]
    model = Model(model.vae, params, model.dataset)
    zs = np.array([[0.0], [1.0], [-1.0]], np.float32)
    np.testing.assert_allclose(run_decoder(model, zs), means_by_jax(model, zs), atol=1e-6)


# ---- the page ----

SIDE, CLASSES, LATENTS = 8, 4, 5
# Black and white: the bits that are drawn of them are always the same.
X = (np.random.default_rng(0).random((60, SIDE, SIDE, 1)) < 0.4).astype(np.uint8) * 255
Y = np.arange(60) % CLASSES


@pytest.fixture(scope="module")
def conditional():
    """A conditional model of grey images with classes, whose latent 2 is dead."""
    data = datasets.from_arrays(X, Y, binarization="dynamic")
    vae = make_vae_for(
        data,
        conditional=True,
        network="conv",
        channels=(3, 2),
        latent_dim=LATENTS,
        hidden=(9,),
        prior="conditional_gaussian",
        upper_hidden=(),
    )
    params = random_params(vae, (SIDE, SIDE, 1))
    for network in ("encoder", "prior"):
        last = params[network][max(name for name in params[network] if name.startswith("Dense"))]
        for leaf in last.values():
            leaf[..., [2, LATENTS + 2]] = 0
    outline = datasets.from_outline(datasets.outline_of(data))
    return Model(vae, params, outline, {"numbers": {"nll": 12.34}})


@pytest.fixture(scope="module")
def html(conditional, tmp_path_factory):
    """The file of its page, with the examples of an npz whose name would end a script."""
    folder = tmp_path_factory.mktemp("page")
    save_model(conditional, folder / "a.vae")
    source = str(folder / "<!--<script>.npz")
    np.savez(source, x=X, y=Y)
    explore.explore(str(folder / "a.vae"), str(folder / "a.html"), source)
    return folder / "a.html"


@pytest.fixture
def opened(browser, html):
    """The page, 1200 pixels wide; afterwards, it must have logged and requested nothing."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    tab, seen = context.new_page(), []
    tab.on("console", lambda message: seen.append(message.text))
    tab.on("pageerror", lambda error: seen.append(str(error)))
    tab.on("request", lambda request: seen.append(request.url))
    tab.goto(html.as_uri())
    yield tab
    context.close()
    assert [each for each in seen if not each.startswith("data:")] == [html.as_uri()]


def wait_for_frame(tab):
    tab.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def pixels(tab):
    """The picture, as bytes of its red channel."""
    wait_for_frame(tab)
    script = """() => {
      const { width, height } = picture;
      const context = new OffscreenCanvas(width, height).getContext("2d");
      context.drawImage(picture, 0, 0);
      const { data } = context.getImageData(0, 0, width, height);
      return Array.from(data).filter((_, i) => i % 4 == 0);
    }"""
    return np.array(tab.evaluate(script))


def state_of(tab):
    wait_for_frame(tab)
    return tab.evaluate("({...explorer.state, z: Array.from(explorer.state.z)})")


def check_picture(tab, model):
    """The pixels that are seen are those of JAX for this z and class."""
    state = state_of(tab)
    z = np.array(state["z"], np.float32)
    expected = means_by_jax(model, z[None], jnp.asarray(state["label"]))[0]
    decoded = tab.evaluate("Array.from(explorer.decode(explorer.state.z, explorer.state.label))")
    np.testing.assert_allclose(decoded, expected, atol=1e-4)
    assert np.abs(pixels(tab) - 255 * expected).max() < 0.6


def test_sliders_and_classes_decode(opened, conditional):
    """Mutants: a slider that moves the latent of its place in the order, not its own; the class
    left out of the decoder's input; a picture that is drawn once."""
    check_picture(opened, conditional)
    for change in (
        lambda: opened.locator("#slider-3").fill("2.5"),
        lambda: opened.locator("label[for=class-2]").click(),
        lambda: opened.locator("#draw").click(),
        lambda: opened.locator("#center").click(),
    ):
        before = pixels(opened)
        change()
        assert np.abs(pixels(opened) - before).max() > 2
        check_picture(opened, conditional)
    assert state_of(opened)["label"] == 2
    opened.locator("#slider-3").fill("-1.5")
    assert state_of(opened)["z"][3] == -1.5


def test_latents_are_ordered_and_dead_ones_marked(opened, conditional):
    """By KL(q(z_j|x) || p(z_j|y)), in numpy. Mutant: the variance of the means instead."""

    def parameters(x, y):
        q, p = (
            conditional.vae.encode(conditional.params, x, y),
            conditional.vae.prior(conditional.params, y),
        )
        return q.mean, q.scale, p.mean, p.scale

    q_mean, q_scale, p_mean, p_scale = map(np.asarray, jax.jit(jax.vmap(parameters))(X / 255.0, Y))
    ratio = (q_scale / p_scale) ** 2
    kl = 0.5 * (ratio + ((q_mean - p_mean) / p_scale) ** 2 - 1 - np.log(ratio)).mean(axis=0)
    labels = opened.locator("#sliders label b").all_text_contents()
    order = [f"z{d}" for d in np.argsort(-kl) if d != 2]
    assert labels == order
    assert f"KL {kl.max():.2f} nats" in opened.locator("#sliders label").first.text_content()
    assert opened.locator("#dead label b").all_text_contents() == ["z2"]
    assert "1 dead latent" in opened.locator("#dead summary").text_content()


def test_map_and_line(opened, conditional):
    """A click on the map sets its two latents alone; halfway between two examples z is the mean
    of their codes. Mutants: axes exchanged, the vertical one upside down, ends exchanged."""
    axes, before = state_of(opened)["axes"], state_of(opened)["z"]
    box = opened.locator("#map").bounding_box()
    opened.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    z = state_of(opened)["z"]
    assert z[axes[0]] > 0.5 and z[axes[1]] > 0.5
    marker = opened.locator("#marker circle").last.bounding_box()
    assert abs(marker["x"] + marker["width"] / 2 - box["x"] - 0.75 * box["width"]) < 2
    assert [z[d] for d in range(LATENTS) if d not in axes] == [
        before[d] for d in range(LATENTS) if d not in axes
    ]
    opened.locator("#axis-y").select_option("2")  # the dead one can be seen there
    assert state_of(opened)["axes"] == [axes[0], 2]
    images = opened.locator("#examples button")
    images.nth(4).click()
    first = state_of(opened)
    images.nth(7).click()
    second = state_of(opened)
    assert first["ends"][0] == 4 and second["ends"] == [4, 7]
    assert images.nth(7).get_attribute("aria-label") == f"example 8, class {second['label']}"
    opened.locator("#position").fill("0.5")
    halfway = (np.array(first["z"]) + second["z"]) / 2
    np.testing.assert_allclose(state_of(opened)["z"], halfway, atol=1e-6)
    check_picture(opened, conditional)


def test_keyboard_alone(opened):
    """Mutants: arrows that scroll the page, a tab that cannot be reached."""
    press = opened.keyboard.press
    opened.locator("#map").focus()
    axes, before = state_of(opened)["axes"], state_of(opened)["z"]
    press("ArrowRight")
    press("Shift+ArrowDown")
    z = state_of(opened)["z"]
    assert z[axes[0]] > before[axes[0]] and z[axes[1]] < before[axes[1]]
    opened.locator("#slider-0").focus()
    press("ArrowRight")
    assert state_of(opened)["z"][0] > z[0]
    opened.locator("#tab-space").focus()
    press("ArrowRight")
    assert opened.locator("#trade").is_visible() and opened.locator("#space").is_hidden()
    assert opened.evaluate("document.activeElement.id") == "tab-trade"
    press("Tab")
    value = opened.locator("#v-value").text_content()
    press("ArrowLeft")
    assert opened.locator("#v-value").text_content() != value


def test_fits_a_phone_and_the_theme(browser, html):
    """360 pixels: nothing to scroll sideways, in either tab. Mutants: a table with a fixed width,
    no dark colors."""
    backgrounds = set()
    for scheme in ("light", "dark"):
        size = {"width": 360, "height": 740}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        tab = context.new_page()
        tab.goto(html.as_uri())
        for name in ("trade", "space"):
            tab.locator(f"#tab-{name}").click()
            assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        backgrounds.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert len(backgrounds) == 2


# ---- the trade-off ----

SETTINGS = [
    {"x": 1.5, "m": 0.8, "v": 1.0, "beta": 1.0, "w": 1.0, "s": 0.6},
    {"x": -2.0, "m": 0.3, "v": 0.05, "beta": 4.0, "w": -1.5, "s": 1.3},
]


def exact_terms(x, m, v, beta, w, s):
    """The numbers by vae_jax's Gaussians, and E_q[log p(x|z)] and p(z|x) on a fine grid of z."""
    q, prior = Gaussian(jnp.array([m]), jnp.log(jnp.array([v])) / 2), standard_normal(1)
    grid = np.linspace(-12, 12, 20001)

    def log_density(mean, scale, value):
        return -0.5 * ((value - mean) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))

    log_likelihood = log_density(w * grid, s, x)
    weights = np.exp(log_density(m, np.sqrt(v), grid))
    posterior = np.exp(log_likelihood + log_density(0, 1, grid))
    posterior /= posterior.sum()
    mean = (posterior * grid).sum()
    variance = (posterior * (grid - mean) ** 2).sum()
    true = Gaussian(jnp.array([mean]), jnp.log(jnp.array([variance])) / 2)
    marginal = Gaussian(jnp.zeros(1), jnp.log(jnp.array([np.hypot(w, s)])))
    reconstruction = (weights * log_likelihood).sum() / weights.sum()
    kl = float(kl_divergence(q, prior))
    return {
        "reconstruction": reconstruction,
        "kl": kl,
        "elbo": reconstruction - kl,
        "objective": reconstruction - beta * kl,
        "gap": float(kl_divergence(q, true)),
        "logLikelihood": float(marginal.log_prob(jnp.array([x]))),
    }


def test_trade_off_is_exact(opened):
    """Mutants: a sign turned, w v for w^2 v, s for s^2, a gap to the prior."""
    for setting in SETTINGS:
        terms = opened.evaluate("(given) => tradeOff.terms(given)", setting)
        expected = exact_terms(**setting)
        assert terms.keys() == expected.keys()
        for name, value in expected.items():
            assert terms[name] == pytest.approx(value, abs=2e-5), name
        assert terms["elbo"] + terms["gap"] == pytest.approx(terms["logLikelihood"], abs=1e-12)


def test_best_q_is_where_the_objective_is_largest(opened):
    """Of the ELBO weighted by beta, and its bound tight at beta = 1. Mutant: beta on the wrong
    term."""
    script = """([given, dm, factor]) => {
      const { mean, variance } = tradeOff.bestFor(given);
      return tradeOff.terms({ ...given, m: mean + dm, v: variance * factor });
    }"""
    for setting in SETTINGS:
        best, *others = [
            opened.evaluate(script, [setting, *moved])["objective"]
            for moved in [(0, 1), (0.01, 1), (-0.01, 1), (0, 1.02), (0, 0.98)]
        ]
        assert best > max(others)
    tight = opened.evaluate(script, [{**SETTINGS[1], "beta": 1}, 0, 1])
    assert tight["gap"] == pytest.approx(0, abs=1e-12)


def test_trade_off_is_drawn_as_it_moves(opened):
    """The numbers beside the formulas, the marker and the gap follow v; its end is log p(x).
    Mutants: a marker that stays, a logarithmic slider read as v."""
    opened.locator("#tab-trade").click()
    opened.locator("#v").fill("-1")
    terms = opened.evaluate("tradeOff.terms(tradeOff.state)")
    assert opened.evaluate("tradeOff.state.v") == pytest.approx(0.1, rel=0.02)
    shown = opened.locator("dd[data-term=elbo]").text_content()
    assert float(shown) == pytest.approx(terms["elbo"], abs=6e-4)
    before = opened.locator("#bound-chart .now").get_attribute("x1")
    opened.locator("#v").fill("0.5")
    assert float(opened.locator("#bound-chart .now").get_attribute("x1")) > float(before)
    for name in ("reconstruction", "kl", "gap"):
        assert opened.locator(f"#terms-chart .curve.{name}").get_attribute("d").startswith("M")
    for name in ("elbo", "objective", "logLikelihood"):
        assert opened.locator(f"#bound-chart .curve.{name}").get_attribute("d").startswith("M")
    opened.locator("#to-posterior").click()
    assert float(opened.locator("dd[data-term=gap]").text_content()) == pytest.approx(0, abs=1e-3)
    gap = opened.locator("#bound-chart .gap-bar")
    assert abs(float(gap.get_attribute("y1")) - float(gap.get_attribute("y2"))) < 0.1


# ---- models and files ----


@pytest.mark.slow
def test_vectors_without_data(browser, tmp_path, capsys):
    """A model alone: codes and examples are draws from it; vectors are bars, not images."""
    data = datasets.from_arrays(np.random.default_rng(0).normal(size=(40, 6)), name="</script>")
    vae = make_vae_for(data, likelihood="gaussian", latent_dim=1, hidden=(4,), prior="mixture")
    model = Model(vae, random_params(vae, (6,)), datasets.from_outline(datasets.outline_of(data)))
    save_model(model, tmp_path / "a.vae")
    output = str(tmp_path / "a.html")
    explore.explore(str(tmp_path / "a.vae"), output)
    assert "draws from the model" in " ".join(capsys.readouterr().out.split())
    tab, errors = browser.new_page(), []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(f"file://{output}")
    assert tab.evaluate("[picture.width, picture.height]") == [400, 300]
    assert tab.locator("#map-panel").is_hidden()
    assert "up or down from a column's mean" in tab.locator("#scale").text_content()
    assert "</script>" in tab.locator("h1").text_content()
    assert "no closed form" in tab.locator("#order").text_content()
    tab.close()
    assert not errors


def my_network(*, hidden: tuple[int, ...] = (3,)):
    """A decoder that the page has never heard of."""

    class OwnDecoder(DenseDecoder):
        pass

    layers = make_layers(hidden)
    return NetworkPair(layers, lambda *_, **__: None, lambda shape: OwnDecoder(layers, shape))


REFUSED = {
    "latents": ({"posterior": "bernoulli", "prior": "uniform_bits"}, "its latents are bits"),
    "two layers": ({"posterior": "two_layers", "prior": "two_layers"}, "latents are two layers"),
    "likelihood": ({"likelihood": LikelihoodRow("bits", make_bernoulli)}, "'make_bernoulli' has"),
    "network": ({"network": my_network}, "network='my_network': its decoder is a OwnDecoder"),
    "condition": ({"condition": (2, 2)}, r"given an array of shape \(2, 2\)"),
    "fields": ({"shape": {"a": (3,), "b": (2,)}}, "this model's have fields a, b"),
    "size": (
        {"hidden": (2000, 2000)},
        r"4,\d+,\d+ parameters, 21.4 MB in a page, which holds 20 MB",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_page_cannot_show_is_refused(case):
    """In one line that names it, before anything is computed."""
    options, message = REFUSED[case]
    vae = make_vae(**{"shape": (6,), "latent_dim": 3, "hidden": (7, 5), **options})
    x = {"a": np.zeros((10, 3)), "b": np.zeros((10, 2))} if case == "fields" else np.zeros((10, 6))
    dense = {
        "Dense_0": {"kernel": np.zeros((3, 2000))},
        "Dense_1": {"kernel": np.zeros((2000, 2000))},
    }
    params = {
        "decoder": {"Dense_0": dense, "Dense_1": {"kernel": np.zeros((2000, 6))}},
        "likelihood": {"output_bias": np.zeros(6)},
    }
    with pytest.raises(ValueError, match=message) as raised:
        decoder.describe_decoder(Model(vae, params, datasets.from_arrays(x)))
    assert "\n" not in str(raised.value)


def test_every_likelihood_is_drawn_or_named():
    """Mutant: a row that is added to the table, and drawn by the mean of another one."""
    for name in set(LIKELIHOODS) - set(decoder._MEANS):
        with pytest.raises(ValueError, match=name):
            decoder.describe_decoder(random_model((6,), likelihood=name))


def test_parameters_that_no_layer_explains_are_refused():
    """Mutant: a layer that is new in a network, left out of the page."""
    model = random_model((6,))
    model.params["decoder"]["Dense_2"] = {"kernel": np.zeros((2, 2))}
    with pytest.raises(ValueError, match="has 102 parameters, of which its layers explain 98"):
        decoder.describe_decoder(model)


def test_a_failed_training_is_told():
    """Mutant: a page of NaN, which its JSON cannot hold."""
    model = random_model((6,))
    model.params["encoder"]["Dense_1"]["bias"][0] = np.nan
    with pytest.raises(ValueError, match="not all finite"):
        decoder.describe_decoder(model)


def test_what_is_there_is_kept(html):
    before = html.read_bytes()
    with pytest.raises(ValueError, match=r"a\.html exists: .*--overwrite"):
        explore.explore(str(html.with_name("a.vae")), str(html))
    assert html.read_bytes() == before


def test_page_holds_no_address(html):
    """Mutant: a script or a font from elsewhere. The SVG namespace is a name, never fetched."""
    text = html.read_text().replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text and "12.3 nats" in text


@pytest.mark.slow
def test_a_run_is_explored(trained, tmp_path):
    """Its own test set is shown; a second start is refused in one line."""
    arguments = ("experiments.explore", f"--workdir={trained[0]}", f"--output={tmp_path}/a.html")
    done = run_program(*arguments, "--member=1")
    assert done.returncode == 0 and "test examples" in done.stdout, done.stderr
    again = run_program(*arguments)
    assert again.returncode == 2 and len(again.stderr.splitlines()) == 1
    assert "a.html exists" in again.stderr
