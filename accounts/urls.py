from django.urls import path

from accounts.views import factors, sessions, sign_in, tokens

app_name = "accounts"
urlpatterns = [
    path("sign-in/", sign_in.sign_in, name="sign_in"),
    path("sign-in/confirm/", sign_in.second_step, name="second_step"),
    path("sign-in/passkey/", sign_in.passkey_options, name="passkey_options"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("me/sessions/", sessions.index, name="sessions"),
    path("me/sessions/end/", sessions.end, name="end_sessions"),
    path("me/factors/", factors.index, name="factors"),
    path("me/factors/app/", factors.add_app, name="add_app"),
    path("me/factors/app/picture/", factors.app_picture, name="app_picture"),
    path("me/factors/passkey/", factors.add_passkey, name="add_passkey"),
    path("me/factors/codes/", factors.new_codes, name="new_codes"),
    path("me/factors/remove/", factors.remove, name="remove_factor"),
    path("me/tokens/", tokens.index, name="tokens"),
    path("me/tokens/make/", tokens.make, name="make_token"),
    path("me/tokens/revoke/", tokens.revoke, name="revoke_token"),
]
