"""@description@"""
