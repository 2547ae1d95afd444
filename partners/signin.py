from allauth.account.adapter import DefaultAccountAdapter as AccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter as Adapter
