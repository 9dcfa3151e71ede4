"""The style and the script of the page, as they go into it."""

STYLE = """
:root{color-scheme:light dark;--page:#fff;--ink:#1c1c1c;--soft:#5c5c5c;--rule:#c4c4c4;--cell:#fff;--wall:#3b3f45;--path:#f2c14e;--end:#4a90d9;--wrong:#f7b5a8;--line:#b3261e}
@media (prefers-color-scheme:dark){:root{--page:#16181b;--ink:#e4e4e4;--soft:#a5a5a5;--rule:#4a4d52;--cell:#1f2226;--wall:#8b9098;--path:#8a6a12;--end:#2f6aa8;--wrong:#7a2f26;--line:#ff8a7a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}
label{max-width:100%}h1{font-size:1.4rem;margin:.2rem 0}.soft{color:var(--soft);margin:.3rem 0}
select{max-width:100%;font:inherit}button{font:inherit;padding:.3rem 1rem}
.bar{display:flex;gap:1rem;align-items:center;position:sticky;top:0;background:var(--page);padding:.5rem 0;z-index:1}
.slide{flex:1;min-width:0;display:flex;gap:.6rem;align-items:center;white-space:nowrap}.slide input{flex:1;min-width:0;width:100%}
#at{min-width:4.5rem}
#boards,#curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(15rem,45%),1fr));gap:1rem;margin:.8rem 0}
#curves{grid-template-columns:repeat(auto-fit,minmax(min(15rem,100%),1fr))}
#key span{margin-right:1.2rem;white-space:nowrap}#key svg{display:inline-block;width:2rem;height:.6rem;margin-right:.4rem}
figure{margin:0}figcaption{font-size:.9rem}figcaption b{border-bottom:3px solid}
svg{width:100%;height:auto;display:block;max-width:24rem}
.key{display:inline-block;width:1em;height:1em;vertical-align:-.15em;border:1px solid var(--rule)}
.key.wrong{background:var(--wrong)}.key.broken{border:2px solid var(--line)}
@media print{.bar{display:none}}
""".strip()  # noqa: E501 - rules read best one a line

SCRIPT = r"""
"use strict";
const D=JSON.parse(document.getElementById("data").textContent),$=id=>document.getElementById(id);
const NS="http://www.w3.org/2000/svg";
const ARC=["#222","#888","#111","#1e93ff","#f93c31","#4fcc30","#ffdc00","#999","#e53aa3","#ff851b","#87d8f1","#921231"];
function node(name,attributes,parent,text){const n=document.createElementNS(NS,name);
 for(const k in attributes)n.setAttribute(k,attributes[k]);if(text!==undefined)n.textContent=text;if(parent)parent.append(n);return n}
function html(name,parent,text){const n=document.createElement(name);if(text!==undefined)n.textContent=text;parent.append(n);return n}
const S=20;let puzzle,shown=1,timer=null,cursors=[];
function value(letter){return parseInt(letter,36)}
function fill(token){if(D.task==="maze")return{1:"var(--wall)",3:"var(--end)",4:"var(--end)",5:"var(--path)"}[token]||"var(--cell)";
 return D.task==="arc"?ARC[token]||"#444":"var(--cell)"}
function text(token){if(D.task==="sudoku")return token>1?(token-1).toString(36).toUpperCase():"";
 return D.task==="maze"?{3:"S",4:"G"}[token]||"":""}
function board(scheme,at,svg){svg.replaceChildren();const wrong=new Set(scheme.wrong[at]),broken=new Set(scheme.broken[at]);
 for(let i=0;i<D.rows*D.columns;i++){const r=Math.floor(i/D.columns),c=i%D.columns,t=value(scheme.tokens[at][i]);
  const given=D.task==="sudoku"&&value(puzzle.given[i])>1;
  node("rect",{x:c*S,y:r*S,width:S,height:S,fill:wrong.has(i)&&D.task!=="arc"?"var(--wrong)":fill(t),stroke:"var(--rule)","stroke-width":.5},svg);
  if(text(t))node("text",{x:c*S+S/2,y:r*S+S*.72,"text-anchor":"middle","font-size":S*.62,fill:"var(--ink)","font-weight":given?700:400},svg,text(t));
  else if(wrong.has(i)&&D.task==="maze"&&t!==2)node("circle",{cx:c*S+S/2,cy:r*S+S/2,r:S/4,fill:fill(t)},svg);
  if(wrong.has(i)&&D.task==="arc")node("path",{d:`M${c*S+4} ${r*S+4}l${S-8} ${S-8}m0 ${8-S}l${8-S} ${S-8}`,stroke:"#fff","stroke-width":2},svg);
  if(broken.has(i))node("rect",{x:c*S+1.5,y:r*S+1.5,width:S-3,height:S-3,fill:"none",stroke:"var(--line)","stroke-width":1.5},svg)}
 if(D.box)for(let k=0;k<=D.rows;k++){if(k%D.box[0]===0)node("path",{d:`M0 ${k*S}H${D.columns*S}`,stroke:"var(--ink)","stroke-width":1.5},svg);
  if(k%D.box[1]===0)node("path",{d:`M${k*S} 0V${D.rows*S}`,stroke:"var(--ink)","stroke-width":1.5},svg)}
 const words=scheme.right[at]?"right":`${scheme.wrong[at].length} cells wrong`;svg.setAttribute("aria-label",`${scheme.name} after H-cycle ${at+1}: ${words}`);return words}
function draw(){const n=puzzle.schemes[0].tokens.length,at=shown-1;$("cycle").value=shown;
 $("at").textContent=`${shown} of ${n}`;
 puzzle.schemes.forEach((s,k)=>{const f=$("boards").children[k],words=board(s,at,f.firstChild);
  f.lastChild.lastChild.textContent=`: ${words}`+(s.broken[at].length?`, ${s.broken[at].length} break a rule`:"")+(s.parts&&shown>=s.parts?`; parted at ${s.parts}`:"")});
 for(const c of cursors)c.move(shown)}
const DASHES=["","5 2","2 2","6 2 1 2"];
function key(s,k){const e=html("span",$("key")),svg=node("svg",{viewBox:"0 0 32 8","aria-hidden":"true"},e);
 node("path",{d:"M0 4H32",stroke:colour(k),"stroke-width":2.5,"stroke-dasharray":DASHES[k%4]},svg);e.append(s.name)}
function colour(k){return`var(--s${k})`}
function curve(name){const f=html("figure",$("curves")),W=300,H=120,L=42,B=18,svg=node("svg",{viewBox:`0 0 ${W} ${H+B}`,role:"img","aria-label":`${name} after every H-cycle, one line per scheme`},f);
 const all=puzzle.schemes.flatMap(s=>s.curves[name]).filter(v=>v!==null);let low=Math.min(...all),high=Math.max(...all);
 if(name==="Wrong cells"||name==="Residual")low=0;if(high-low<1e-9)high=low+1;
 const n=puzzle.schemes[0].tokens.length,x=c=>L+(W-L-6)*(n>1?(c-1)/(n-1):0),y=v=>6+(H-12)*(1-(v-low)/(high-low));
 for(const v of[low,high]){node("path",{d:`M${L} ${y(v)}H${W-6}`,stroke:"var(--rule)","stroke-width":.5},svg);
  node("text",{x:L-4,y:y(v)+4,"text-anchor":"end","font-size":10,fill:"var(--soft)"},svg,+v.toPrecision(3))}
 for(const c of[1,n])node("text",{x:x(c),y:H+B-4,"text-anchor":c===1?"start":"end","font-size":10,fill:"var(--soft)"},svg,c);
 puzzle.schemes.forEach((s,k)=>{let d="",pen="M";s.curves[name].forEach((v,i)=>{if(v===null){pen="M";return}d+=`${pen}${x(i+1).toFixed(1)} ${y(v).toFixed(1)}`;pen="L"});
  node("path",{d,fill:"none",stroke:colour(k),"stroke-width":1.6,"stroke-dasharray":DASHES[k%4]},svg)});
 const line=node("path",{stroke:"var(--line)","stroke-width":1},svg);html("figcaption",f,name);
 cursors.push({move:c=>line.setAttribute("d",`M${x(c)} 2V${H}`)})}
function choose(i){puzzle=D.puzzles[i];cursors=[];for(const id of["boards","curves","key"])$(id).replaceChildren();
 puzzle.schemes.forEach((s,k)=>{const f=html("figure",$("boards"));
  node("svg",{viewBox:`-1 -1 ${D.columns*S+2} ${D.rows*S+2}`,role:"img"},f);const c=html("figcaption",f),b=html("b",c,s.name);b.style.borderColor=colour(k);html("span",c)});
 puzzle.schemes.forEach(key);Object.keys(puzzle.schemes[0].curves).forEach(curve);$("cycle").max=puzzle.schemes[0].tokens.length;shown=1;draw()}
function stop(){clearInterval(timer);timer=null;$("play").textContent="Play"}
$("play").onclick=()=>{if(timer)return stop();const n=puzzle.schemes[0].tokens.length;if(shown>=n)shown=0;
 $("play").textContent="Pause";timer=setInterval(()=>{if(shown>=n)return stop();shown++;draw()},350)};
$("cycle").oninput=e=>{stop();shown=+e.target.value;draw()};
D.puzzles.forEach((p,i)=>{const o=html("option",$("which"),p.name);o.value=i});
$("which").onchange=e=>{stop();choose(+e.target.value)};
choose(0);const asked=/[#&]cycle=(\d+)/.exec(location.hash);
if(asked){shown=Math.min(Math.max(1,+asked[1]),puzzle.schemes[0].tokens.length);draw()}
""".strip()  # noqa: E501 - a script in few bytes
