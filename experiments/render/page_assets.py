"""What a report's page carries beside its text: the style, and one small script of its own.

Without the script everything is there to be read: sections open and close, links lead to tables,
figures show values where the browser shows titles. With it tables are sorted by a click on a
heading, the page is narrowed to one model, and values of figures follow pointer and keyboard.

Not here: the page itself (html_page.py).
"""

STYLE = """
:root{color-scheme:light dark;--good:#1b6e3c;--bad:#b3261e;--part:#7f5200;--page:#fff;--ink:#1c1c1c;--soft:#5c5c5c;--rule:#d8d8d8;--tint:#f4f5f7;--link:#0b5fa5}
@media (prefers-color-scheme:dark){:root{--good:#6fd39a;--bad:#ff8a7a;--part:#f0b95a;--page:#16181b;--ink:#e4e4e4;--soft:#a5a5a5;--rule:#3a3d42;--tint:#1f2226;--link:#7cc0ff}}
*{box-sizing:border-box}
html{scroll-padding-top:.5rem}
body{margin:0 auto;max-width:84rem;padding:1rem 1.5rem 3rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.2rem 0}h2{font-size:1.15rem;display:inline;margin:0}
.head{display:block;font-size:.86rem;font-weight:600;color:var(--soft);margin:1.3rem 0 .2rem;max-width:70rem}
p,li{max-width:48rem}.soft,figcaption{color:var(--soft)}a{color:var(--link)}
.facts{margin:.2rem 0 .8rem;color:var(--soft);font-size:.82rem;display:flex;flex-wrap:wrap;gap:0 1.4rem}
.facts div{display:flex;gap:.4rem}.facts dt{font-weight:600}.facts dd{margin:0;overflow-wrap:anywhere}
.opening{display:grid;gap:0 2rem;grid-template-columns:minmax(0,1fr)}
.opening>*{min-width:0}.lead{font-size:1.02rem;margin:0;padding:0;list-style:none}.lead li{margin:0 0 .5rem}
@media (min-width:1100px){.opening{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}.opening>figure{grid-column:2;grid-row:1/span 2}.opening>:nth-child(n+4){grid-column:1/-1}.opening>:nth-child(n+4) .long{white-space:nowrap;max-width:none}}
.opening .head{margin-top:.6rem}.opening figure{margin:0}.opening figcaption{font-size:.82rem}.opening .long{min-width:9rem}.opening td.words{white-space:normal}
nav{margin:1.2rem 0}nav ul{columns:18rem;padding-left:1.2rem}
.only{margin:.8rem 0;font-size:.9rem}select{font:inherit;max-width:100%}
section>details{border-top:1px solid var(--rule)}
summary{padding:.55rem 0;cursor:pointer}
.head a{font-weight:400;margin-left:.5rem}
.wide{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}
th,td{padding:.22rem .6rem;text-align:right;vertical-align:top;white-space:nowrap}
tbody th{font-weight:400;position:sticky;left:0;background:var(--page)}
.words,tbody th{text-align:left}
.same{color:var(--good)}.against{color:var(--bad)}.less{color:var(--part)}.open{color:var(--soft)}
.same,.against,.less,.open{font-weight:600}.mark{margin-right:.35rem}
.long{white-space:normal;min-width:11rem;max-width:22rem}
thead th{border-bottom:1px solid var(--soft);vertical-align:bottom;white-space:normal}
thead button{all:unset;cursor:pointer;font:inherit}thead button:focus-visible{outline:2px solid var(--link)}
th[aria-sort=ascending] button::after{content:" \\25B4"}th[aria-sort=descending] button::after{content:" \\25BE"}
tr.first>*{border-top:1px solid var(--rule)}tr.topic>*{font-weight:600;padding-top:.7rem;position:static}
small{color:var(--soft);white-space:nowrap}
section figure{display:inline-block;vertical-align:top;max-width:100%;margin:1rem .4rem 1rem 0}figcaption{max-width:39rem}.row{display:flex;flex-wrap:wrap;gap:1rem}.narrow{display:none}
svg{max-width:100%;height:auto}iframe{width:100%;height:44rem;border:1px solid var(--rule)}
pre{background:var(--tint);padding:.6rem .8rem;overflow-x:auto;font-size:.85rem}
#tip{position:fixed;pointer-events:none;background:var(--ink);color:var(--page);font-size:.8rem;padding:.15rem .45rem;border-radius:3px;white-space:pre;z-index:2}
[hidden]{display:none!important}
@media (max-width:600px){body{padding:.6rem .7rem 2rem;font-size:15px}h1{font-size:1.3rem}th,td{padding:.2rem .4rem}tbody th{white-space:normal;min-width:7.5rem;max-width:44vw}.long{min-width:11rem}}
@media screen and (max-width:600px){.broad{display:none}.narrow{display:flex}}
@media print{:root{--good:#000;--bad:#000;--part:#000;--page:#fff;--ink:#000;--soft:#444;--rule:#bbb;--tint:#fff;--link:#000}
body{max-width:none;padding:0;font-size:10px}.wide{overflow:visible}table{font-size:8px}th,td{white-space:normal;padding:.1rem .25rem;overflow-wrap:anywhere}.long{min-width:0}tbody th{position:static}
details::details-content{content-visibility:visible!important;display:block!important;height:auto!important}figure,tr{break-inside:avoid}iframe,nav,.only,.head a{display:none}}
""".strip()  # noqa: E501 - rules read best one a line

SCRIPT = r"""
"use strict";
const all=(s,e=document)=>[...e.querySelectorAll(s)];
// a number in front of a cell, its unit made small; NaN for words
const UNITS={kB:1e3,MB:1e6,KiB:1024,MiB:1048576};
function value(cell){const m=/^[<>]?\s*([-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?)\s*([kKM]i?B)?/.exec(cell.firstChild?cell.firstChild.textContent.trim():"");
 return m?parseFloat(m[1].replace(/,/g,""))*(UNITS[m[2]]||1):NaN}
// a row says what it is about where the row that said so is elsewhere or hidden
function named(table){const rows=[...table.tBodies[0].rows].filter(r=>!r.classList.contains("topic"));
 if(!table.dataset.filled){table.dataset.filled=1;let above=null;
  for(const r of rows){if(above&&!r.cells[0].textContent.trim())r.cells[0].innerHTML=above;above=r.cells[0].innerHTML}}
 return rows}
function order(table,at,down){const body=table.tBodies[0],rows=named(table);
 rows.forEach(r=>r.classList.remove("first"));
 const key=new Map(rows.map(r=>[r,[value(r.cells[at]),r.cells[at].textContent]]));
 all("tr.topic",body).forEach(r=>r.remove());
 rows.sort((a,b)=>{const[x,s]=key.get(a),[y,t]=key.get(b);
  if(isNaN(x)!==isNaN(y))return isNaN(x)?1:-1;
  const c=isNaN(x)?s.localeCompare(t):x-y;return down?-c:c});
 body.append(...rows)}
for(const table of all("table"))all("thead th",table).forEach((th,at)=>{
 const b=document.createElement("button");b.type="button";b.append(...th.childNodes);th.append(b);
 b.addEventListener("click",()=>{const down=th.getAttribute("aria-sort")==="ascending";
  all("thead th",table).forEach(o=>o.removeAttribute("aria-sort"));
  th.setAttribute("aria-sort",down?"descending":"ascending");order(table,at,down)})});
// one model: other models' tables and figures go, and rows of tables that have a column of models
const choice=document.getElementById("model");
if(choice){choice.closest(".only").hidden=false;choice.addEventListener("change",()=>{const m=choice.value;
 for(const e of all("[data-model]"))e.hidden=m!==""&&e.dataset.model!==m;
 for(const table of all("table")){const at=all("thead th",table).findIndex(t=>t.textContent.trim()==="Model");
  let last="";for(const r of at<0?[]:named(table)){const c=r.cells[at];if(c.textContent.trim())last=c.textContent.trim();
   r.hidden=m!==""&&last!==""&&last.split(/[ ,:]/)[0]!==m}}})}
// values of figures at once, and by keyboard; links into folded sections open them
const tip=document.createElement("div");tip.id="tip";tip.setAttribute("aria-hidden","true");tip.hidden=true;document.body.append(tip);
document.addEventListener("pointerover",e=>{const t=e.target.closest&&e.target.closest("svg [data-tip]");tip.hidden=!t;
 if(t){tip.textContent=t.dataset.tip;const r=t.getBoundingClientRect(),w=tip.offsetWidth;
  tip.style.left=Math.max(4,Math.min(innerWidth-w-4,r.right+6))+"px";tip.style.top=Math.max(4,r.top-26)+"px"}});
function unfold(){const e=location.hash&&document.getElementById(decodeURIComponent(location.hash.slice(1)));
 if(!e)return;for(let p=e;p;p=p.parentElement)if(p.tagName==="DETAILS")p.open=true;e.scrollIntoView()}
addEventListener("hashchange",unfold);unfold();
addEventListener("beforeprint",()=>all("details").forEach(d=>d.open=true));
""".strip()  # noqa: E501 - one statement a line
