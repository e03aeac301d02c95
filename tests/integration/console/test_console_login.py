from integration.console.console_scene import PASSWORD, Scene
from holdfast.identity.model import Role

async def test_smoke() -> None:
    scene = Scene()
    async with await scene.logged_in() as b:
        print(b.path, b.page.status_code, b.page.text[-2500:])
        for p in ("/", "/account", "/accounts", "/accounts/new", "/accounts/anna", "/tokens", "/audit", "/account/password", "/account/recovery-codes", "/nope"):
            r = await b.get(p)
            print(p, r.status_code, b.path)
            if r.status_code==500: print(r.text)
        print(scene.events)
