"""Charts of accounts and tax rates of a UK, an Australian and a Global organisation, as tables.

Sources: reference/xero-data.md §1, §2.

Account rows: `Type | default TaxType | code name Account rows: `Type | default TaxType | code name`. After a name:
`!X` SystemAccount, `+pay` EnablePaymentsToAccount, `@USD` the currency of a bank account (the base currency
otherwise). Tax rows: `TaxType | percent | applies to | name`, where applies to is any of A assets, E equity, X
expenses, L liabilities, R revenue. The clearing accounts 092 to 097, 210 Shipping and 822 Gift Cards are ours: what
a web shop adds to the default chart.
"""

from __future__ import annotations

UK_ACCOUNTS = """
BANK | NONE | 090 Business Bank Account; 091 Business Savings Account; 092 Stripe Clearing; 093 PayPal Clearing
BANK | NONE | 094 Stripe Clearing USD @USD; 095 Stripe Clearing EUR @EUR; 096 PayPal Clearing USD @USD
BANK | NONE | 097 PayPal Clearing EUR @EUR
REVENUE | OUTPUT2 | 200 Sales; 210 Shipping Income; 260 Other Revenue
REVENUE | ZERORATEDOUTPUT | 205 Zero Rated Sales
REVENUE | NONE | 270 Interest Income
DIRECTCOSTS | INPUT2 | 300 Purchases; 310 Cost of Goods Sold; 325 Direct Expenses
DIRECTCOSTS | NONE | 320 Direct Wages
OVERHEADS | INPUT2 | 400 Advertising & Marketing; 401 Audit & Accountancy fees; 408 Cleaning; 412 Consulting
OVERHEADS | INPUT2 | 420 Entertainment-100% business
OVERHEADS | INPUT2 | 429 General Expenses; 441 Legal Expenses; 449 Motor Vehicle Expenses
OVERHEADS | INPUT2 | 457 Operating Lease Payments; 461 Printing & Stationery
OVERHEADS | INPUT2 | 463 IT Software and Consumables; 465 Rates; 469 Rent; 473 Repairs & Maintenance
OVERHEADS | INPUT2 | 480 Staff Training; 485 Subscriptions
OVERHEADS | INPUT2 | 489 Telephone & Internet; 493 Travel - National
OVERHEADS | EXEMPTINPUT | 425 Postage, Freight & Courier; 433 Insurance
OVERHEADS | RRINPUT | 445 Light, Power, Heating
OVERHEADS | NONE | 404 Bank Fees; 416 Depreciation Expense; 418 Charitable and Political Donations
OVERHEADS | NONE | 424 Entertainment - 0%; 437 Interest Paid
OVERHEADS | NONE | 477 Salaries; 478 Directors' Remuneration; 479 Employers National Insurance; 482 Pensions Costs
OVERHEADS | NONE | 483 Medical Insurance
OVERHEADS | NONE | 494 Travel - International; 500 Corporation Tax
EXPENSE | NONE | 497 Bank Revaluations !BANKCURRENCYGAIN; 498 Unrealised Currency Gains !UNREALISEDCURRENCYGAIN
EXPENSE | NONE | 499 Realised Currency Gains !REALISEDCURRENCYGAIN
CURRENT | NONE | 610 Accounts Receivable !DEBTORS; 611 Less Provision for Doubtful Debts; 620 Prepayments
INVENTORY | NONE | 630 Inventory
FIXED | INPUT2 | 710 Office Equipment; 720 Computer Equipment; 740 Buildings; 750 Leasehold Improvements
FIXED | INPUT2 | 760 Motor Vehicles
FIXED | INPUT2 | 764 Plant and Machinery; 770 Intangibles
FIXED | NONE | 711 Less Accumulated Depreciation on Office Equipment
FIXED | NONE | 721 Less Accumulated Depreciation on Computer Equipment
CURRLIAB | NONE | 800 Accounts Payable !CREDITORS; 801 Unpaid Expense Claims !UNPAIDEXPCLM; 803 Wages Payable
CURRLIAB | NONE | 805 Accruals; 810 Income in Advance
CURRLIAB | NONE | 811 Credit Card Control Account; 814 Wages Payable - Payroll
CURRLIAB | NONE | 815 Employee contribution to benefits; 820 VAT !GST
CURRLIAB | NONE | 822 Gift Cards Issued +pay; 825 PAYE Payable; 826 NIC Payable; 830 Provision for Corporation Tax
CURRLIAB | NONE | 835 Directors' Loan Account
CURRLIAB | NONE | 840 Historical Adjustment !HISTORICAL; 850 Suspense; 855 Clearing Account +pay
CURRLIAB | NONE | 858 Pensions Payable; 860 Rounding !ROUNDING
CURRLIAB | NONE | 868 Earnings Orders Payable; 877 Tracking Transfers !TRACKINGTRANSFERS
CURRLIAB | NONE | 947 Student Loan Deductions Payable
TERMLIAB | NONE | 900 Loan; 910 Hire Purchase Loan; 920 Deferred Tax
EQUITY | NONE | 950 Capital - x,xxx Ordinary Shares; 960 Retained Earnings !RETAINEDEARNINGS
EQUITY | NONE | 970 Owner A Funds Introduced +pay; 980 Owner A Drawings +pay
"""

UK_TAXES = """
OUTPUT2 | 20 | AELR | 20% (VAT on Income)
RROUTPUT | 5 | AELR | 5% (VAT on Income)
ZERORATEDOUTPUT | 0 | AELR | Zero Rated Income
EXEMPTOUTPUT | 0 | AELR | Exempt Income
ECZROUTPUT | 0 | AELR | Zero Rated EC Goods Income
ECZROUTPUTSERVICES | 0 | AELR | Zero Rated EC Services
DRCHARGE20 | 20 | AELR | Domestic Reverse Charge @ 20% (VAT on Income)
DRCHARGE5 | 5 | AELR | Domestic Reverse Charge @ 5% (VAT on Income)
INPUT2 | 20 | AEXL | 20% (VAT on Expenses)
RRINPUT | 5 | AEXL | 5% (VAT on Expenses)
ZERORATEDINPUT | 0 | AEXL | Zero Rated Expenses
EXEMPTINPUT | 0 | AEXL | Exempt Expenses
ECACQUISITIONS | 20 | AEXL | EC Acquisitions (20%)
ECZRACQUISITIONS | 0 | AEXL | EC Acquisitions (Zero Rated)
REVERSECHARGES | 20 | AEXL | Reverse Charge Expenses (20%)
DRCHARGESUPPLY20 | 20 | AEXL | Domestic Reverse Charge @ 20% (VAT on Expenses)
DRCHARGESUPPLY5 | 5 | AEXL | Domestic Reverse Charge @ 5% (VAT on Expenses)
CAPEXOUTPUT2 | 20 | A | 20% (VAT on Capital Sales)
CAPEXINPUT2 | 20 | A | 20% (VAT on Capital Purchases)
NONE | 0 | AEXLR | No VAT
GSTONIMPORTS | 0 | L | VAT on Imports
"""

# NONE and EXEMPTINPUT of the 2010 chart no longer exist as Australian tax types: BASEXCLUDED and EXEMPTEXPENSES took
# their place.
AU_ACCOUNTS = """
BANK | BASEXCLUDED | 090 Business Bank Account; 091 Business Savings Account; 092 Stripe Clearing
BANK | BASEXCLUDED | 093 PayPal Clearing; 094 Stripe Clearing NZD @NZD
REVENUE | OUTPUT | 200 Sales; 210 Shipping Income; 260 Other Revenue
REVENUE | EXEMPTOUTPUT | 205 GST Free Sales
REVENUE | BASEXCLUDED | 270 Interest Income
DIRECTCOSTS | INPUT | 300 Purchases; 310 Cost of Goods Sold
EXPENSE | INPUT | 400 Advertising; 408 Cleaning; 412 Consulting & Accounting; 425 Freight & Courier
EXPENSE | INPUT | 429 General Expenses; 433 Insurance
EXPENSE | INPUT | 441 Legal expenses; 445 Light, Power, Heating; 449 Motor Vehicle Expenses; 453 Office Expenses
EXPENSE | INPUT | 461 Printing & Stationery; 469 Rent
EXPENSE | INPUT | 473 Repairs and Maintenance; 485 Subscriptions; 489 Telephone & Internet; 493 Travel - National
EXPENSE | BASEXCLUDED | 404 Bank Fees; 416 Depreciation; 420 Entertainment; 437 Interest Expense
EXPENSE | BASEXCLUDED | 494 Travel - International
EXPENSE | EXEMPTEXPENSES | 477 Wages and Salaries; 478 Superannuation; 505 Income Tax Expense
EXPENSE | BASEXCLUDED | 497 Bank Revaluations !BANKCURRENCYGAIN; 498 Unrealised Currency Gains !UNREALISEDCURRENCYGAIN
EXPENSE | BASEXCLUDED | 499 Realised Currency Gains !REALISEDCURRENCYGAIN
CURRENT | BASEXCLUDED | 610 Accounts Receivable !DEBTORS; 620 Prepayments
INVENTORY | BASEXCLUDED | 630 Inventory
FIXED | CAPEXINPUT | 710 Office Equipment; 720 Computer Equipment
FIXED | EXEMPTEXPENSES | 711 Less Accumulated Depreciation on Office Equipment
FIXED | EXEMPTEXPENSES | 721 Less Accumulated Depreciation on Computer Equipment
CURRLIAB | BASEXCLUDED | 800 Accounts Payable !CREDITORS; 801 Unpaid Expense Claims !UNPAIDEXPCLM
CURRLIAB | BASEXCLUDED | 805 Accrued Liabilities; 820 GST !GST
CURRLIAB | BASEXCLUDED | 822 Gift Cards Issued +pay; 825 PAYG Withholdings Payable; 826 Superannuation Payable
CURRLIAB | BASEXCLUDED | 830 Income Tax Payable
CURRLIAB | BASEXCLUDED | 835 Revenue Received in Advance; 840 Historical Adjustment !HISTORICAL; 850 Suspense
CURRLIAB | BASEXCLUDED | 855 Clearing Account +pay
CURRLIAB | BASEXCLUDED | 860 Rounding !ROUNDING; 877 Tracking Transfers !TRACKINGTRANSFERS
CURRLIAB | BASEXCLUDED | 880 Owner A Drawings +pay; 881 Owner A Funds Introduced +pay
TERMLIAB | BASEXCLUDED | 900 Loan
EQUITY | BASEXCLUDED | 960 Retained Earnings !RETAINEDEARNINGS; 970 Owner A Share Capital +pay
"""

AU_TAXES = """
OUTPUT | 10 | AELR | GST on Income
EXEMPTOUTPUT | 0 | AELR | GST Free Income
EXEMPTEXPORT | 0 | AELR | GST Free Exports
INPUT | 10 | AEXL | GST on Expenses
CAPEXINPUT | 10 | AEXL | GST on Capital
EXEMPTEXPENSES | 0 | AEXL | GST Free Expenses
EXEMPTCAPITAL | 0 | AEXL | GST Free Capital
INPUTTAXED | 0 | AEXLR | Input Taxed
BASEXCLUDED | 0 | AEXLR | BAS Excluded
GSTONIMPORTS | 0 | L | GST on Imports
GSTONCAPIMPORTS | 0 | L | GST on Capital Imports
"""

GLOBAL_ACCOUNTS = """
BANK | NONE | 090 Business Bank Account; 091 Business Savings Account; 092 Stripe Clearing; 093 PayPal Clearing
BANK | NONE | 094 Klarna Clearing
REVENUE | TAX001 | 200 Sales; 210 Shipping Income; 260 Other Revenue
REVENUE | TAX002 | 201 Sales at the reduced rate
REVENUE | TAX003 | 205 Tax-free Sales
REVENUE | NONE | 270 Interest Income
DIRECTCOSTS | TAX004 | 300 Purchases; 310 Cost of Goods Sold
EXPENSE | TAX004 | 400 Advertising; 408 Cleaning; 412 Consulting & Accounting; 425 Freight & Courier
EXPENSE | TAX004 | 429 General Expenses; 433 Insurance
EXPENSE | TAX004 | 441 Legal expenses; 445 Light, Power, Heating; 449 Motor Vehicle Expenses; 453 Office Expenses
EXPENSE | TAX004 | 461 Printing & Stationery; 469 Rent
EXPENSE | TAX004 | 473 Repairs and Maintenance; 485 Subscriptions; 489 Telephone & Internet; 493 Travel - National
EXPENSE | NONE | 404 Bank Fees; 416 Depreciation; 420 Entertainment; 437 Interest Expense; 477 Wages and Salaries
EXPENSE | NONE | 478 Superannuation
EXPENSE | NONE | 494 Travel - International; 505 Income Tax Expense
EXPENSE | NONE | 497 Bank Revaluations !BANKCURRENCYGAIN; 498 Unrealised Currency Gains !UNREALISEDCURRENCYGAIN
EXPENSE | NONE | 499 Realised Currency Gains !REALISEDCURRENCYGAIN
CURRENT | NONE | 610 Accounts Receivable !DEBTORS; 620 Prepayments
INVENTORY | NONE | 630 Inventory
FIXED | TAX004 | 710 Office Equipment; 720 Computer Equipment
FIXED | NONE | 711 Less Accumulated Depreciation on Office Equipment
FIXED | NONE | 721 Less Accumulated Depreciation on Computer Equipment
CURRLIAB | NONE | 800 Accounts Payable !CREDITORS; 801 Unpaid Expense Claims !UNPAIDEXPCLM; 820 Sales Tax !GST
CURRLIAB | NONE | 822 Gift Cards Issued +pay
CURRLIAB | NONE | 825 Employee Tax Payable; 830 Income Tax Payable; 835 Revenue Received in Advance
CURRLIAB | NONE | 840 Historical Adjustment !HISTORICAL
CURRLIAB | NONE | 850 Suspense; 855 Clearing Account +pay; 860 Rounding !ROUNDING
CURRLIAB | NONE | 877 Tracking Transfers !TRACKINGTRANSFERS
CURRLIAB | NONE | 880 Owner A Drawings +pay; 881 Owner A Funds Introduced +pay
TERMLIAB | NONE | 900 Loan
EQUITY | NONE | 960 Retained Earnings !RETAINEDEARNINGS; 970 Owner A Share Capital +pay
"""

# A German shop keeps its books in the Global edition: the system's own types carry 0 %, German VAT is added as own
# rates.
GERMAN_TAXES = """
OUTPUT | 0 | AEXLR | Tax on Sales
INPUT | 0 | AEXLR | Tax on Purchases
NONE | 0 | AEXLR | Tax Exempt
GSTONIMPORTS | 0 | L | Sales Tax on Imports
TAX001 | 19 | AELR | USt 19%
TAX002 | 7 | AELR | USt 7%
TAX003 | 0 | AELR | Steuerfreie Umsätze 0%
TAX004 | 19 | AEXL | Vorsteuer 19%
TAX005 | 7 | AEXL | Vorsteuer 7%
"""
